use super::*;
use crate::config::units::Bytes;

const NOW: TimeNs = TimeNs(1_795_000_000_000_000_000);
const HOUR: i64 = 3_600_000_000_000;

fn entry(time: i64, line: &str) -> PushEntry {
    PushEntry { time: TimeNs(time), line: line.to_owned().into(), metadata: vec![] }
}

fn push(labels: &str, entries: Vec<PushEntry>) -> Vec<PushStream> {
    vec![PushStream { labels: labels.to_owned(), entries }]
}

fn refused(labels: &str, entries: Vec<PushEntry>, limits: &Limits) -> String {
    admit(push(labels, entries), limits, NOW).unwrap().refusals.text()
}

#[test]
fn service_name_and_level_are_added() {
    let admission =
        admit(push(r#"{job="j", app="a"}"#, vec![entry(NOW.0, "level=warn x")]), &Limits::cairn(), NOW)
            .unwrap();
    assert_eq!(admission.batches[0].labels.to_string(), r#"{app="a", job="j", service_name="a"}"#);
    assert_eq!(admission.batches[0].entries[0].metadata.to_string(), r#"{detected_level="warn"}"#);
    assert_eq!((admission.entries, admission.line_bytes, admission.metadata_bytes), (1, 12, 0));
    let none = Limits { discover_service_name: vec![], discover_log_levels: false, ..Limits::cairn() };
    let admission = admit(push(r#"{app="a"}"#, vec![entry(NOW.0, "x")]), &none, NOW).unwrap();
    assert_eq!(admission.batches[0].labels.to_string(), r#"{app="a"}"#);
    assert!(admission.batches[0].entries[0].metadata.is_empty());
}

#[test]
fn requests_refused_as_a_whole() {
    assert_eq!(admit(vec![], &Limits::cairn(), NOW).unwrap_err(), AdmitError::NoStream);
    let error = admit(push(r#"{a-b="c"}"#, vec![]), &Limits::cairn(), NOW).unwrap_err();
    assert_eq!(
        error.to_string(),
        "couldn't parse labels: 1:3: parse error: unexpected character inside braces: '-'"
    );
    let empty = admit(push(r#"{a="b"}"#, vec![]), &Limits::cairn(), NOW).unwrap();
    assert!(empty.batches.is_empty() && empty.refusals.is_empty());
}

#[test]
fn label_limits_in_lokis_words() {
    let limits = Limits { max_label_names_per_series: 1, max_label_value_length: 3, ..Limits::loki() };
    let now = || vec![entry(NOW.0, "x")];
    assert_eq!(
        refused(r#"{app="p", b="c"}"#, now(), &limits),
        r#"entry for stream '{app="p", b="c", service_name="p"}' has 2 label names; limit 1"#
    );
    assert_eq!(
        refused(r#"{app="long"}"#, now(), &limits),
        r#"stream '{app="long", service_name="long"}' has label value too long: 'long'"#
    );
    assert_eq!(
        refused(r#"{app="a", app="b"}"#, now(), &Limits::loki()),
        r#"stream '{app="a", app="b", service_name="a"}' has duplicate label name: 'app'"#
    );
}

#[test]
fn entry_limits_in_lokis_words_keep_the_good_entries() {
    let limits = Limits { max_line_size: Bytes(4), ..Limits::loki() };
    let entries = vec![
        entry(NOW.0 - 8 * 24 * HOUR, "old"),
        entry(NOW.0 + HOUR, "new"),
        entry(NOW.0, "large"),
        entry(NOW.0, "good"),
    ];
    let admission = admit(push(r#"{app="a"}"#, entries), &limits, NOW).unwrap();
    assert_eq!(admission.batches[0].entries.len(), 1);
    assert_eq!(
        admission.refusals.text(),
        "1 errors like: entry for stream '{app=\"a\", service_name=\"a\"}' has timestamp too old: \
         2026-11-10T11:06:40Z, oldest acceptable timestamp is: 2026-11-11T11:06:40Z; \
         1 errors like: entry for stream '{app=\"a\", service_name=\"a\"}' has timestamp too new: \
         2026-11-18T12:06:40Z; \
         1 errors like: max entry size '4' bytes exceeded for stream '{app=\"a\", service_name=\"a\"}' while adding \
         an entry with length '5' bytes"
    );
    assert!(
        refused(r#"{app="a"}"#, vec![entry(0, "old")], &Limits::cairn()).is_empty(),
        "old lines are welcome"
    );
    let cut = Limits { max_line_size_truncate: true, ..limits };
    let admission = admit(push(r#"{app="a"}"#, vec![entry(NOW.0, "large")]), &cut, NOW).unwrap();
    assert_eq!(&admission.batches[0].entries[0].line[..], b"larg");
}

#[test]
fn metadata_limits_and_names() {
    let with = |pairs: &[(&str, &str)]| {
        let metadata = pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        vec![PushEntry { metadata, ..entry(NOW.0, "x") }]
    };
    let limits = Limits {
        max_structured_metadata_size: Bytes(10),
        max_structured_metadata_entries_count: 2,
        ..Limits::cairn()
    };
    assert_eq!(
        refused(r#"{a="b"}"#, with(&[("k", "1234567890")]), &limits),
        "stream '{a=\"b\", service_name=\"unknown_service\"}' has structured metadata too large: '11' bytes, limit: \
         '10' bytes. Please see `limits_config.max_structured_metadata_size` or contact your Loki administrator to \
         increase it"
    );
    let text = refused(r#"{a="b"}"#, with(&[("k", "1"), ("l", "2"), ("m", "3")]), &limits);
    assert!(text.contains("has too many structured metadata labels: '3', limit: '2'. Please see"), "{text}");
    let off = Limits { allow_structured_metadata: false, ..Limits::cairn() };
    let text = refused(r#"{a="b"}"#, with(&[("k", "1")]), &off);
    assert!(text.ends_with("to enable it"), "{text}");
    let admission =
        admit(push(r#"{a="b"}"#, with(&[("k-v", "1"), ("level", "WARN")])), &Limits::cairn(), NOW);
    let metadata = admission.unwrap().batches[0].entries[0].metadata.to_string();
    assert_eq!(metadata, r#"{detected_level="warn", k_v="1", level="WARN"}"#);
}
