#![expect(clippy::cast_precision_loss, reason = "small numbers")]

use cairn_model::{MatchOp, Matcher, TimeMs};
use cairn_promql::source::{SampleSource, Selection};

use super::*;

type OneSeries<'a> = (&'a [(&'a str, &'a str)], &'a [(f64, i64)]);

fn field(out: &mut Vec<u8>, tag: u8, bytes: &[u8]) {
    out.push(tag);
    varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(u8::try_from(value & 0x7f).unwrap() | 0x80);
        value >>= 7;
    }
    out.push(u8::try_from(value).unwrap());
}

/// `WriteRequest` of version 1.0, compressed; each series with labels and samples.
fn body(series: &[OneSeries<'_>]) -> Vec<u8> {
    let mut request = Vec::new();
    for (labels, samples) in series {
        let mut one = Vec::new();
        for (name, value) in *labels {
            let mut label = Vec::new();
            field(&mut label, 0x0a, name.as_bytes());
            field(&mut label, 0x12, value.as_bytes());
            field(&mut one, 0x0a, &label);
        }
        for (value, time) in *samples {
            let mut sample = vec![0x09];
            sample.extend_from_slice(&value.to_le_bytes());
            sample.push(0x10);
            varint(&mut sample, time.cast_unsigned());
            field(&mut one, 0x12, &sample);
        }
        field(&mut request, 0x0a, &one);
    }
    snap_block(&request)
}

fn snap_block(plain: &[u8]) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(plain).unwrap()
}

fn receiver() -> Receiver {
    Receiver::new(Storage::for_tests(), Metrics::new())
}

/// Everything in the database, one line for each series.
fn stored(receiver: &Receiver) -> Vec<String> {
    let any = [Matcher::new("__name__", MatchOp::Regex, ".*").unwrap()];
    let selection = Selection { matchers: &any, start: TimeMs(i64::MIN), end: TimeMs(i64::MAX) };
    let mut found: Vec<String> = Vec::new();
    for series in receiver.storage.db().view().select(&selection).unwrap() {
        let samples: Vec<_> =
            series.times.iter().zip(&series.values).map(|(time, value)| format!("{time}={value}")).collect();
        found.push(format!("{} {}", series.labels, samples.join(" ")));
    }
    found.sort();
    found
}

/// A minute ago, in whole seconds.
fn recent() -> i64 {
    crate::scrape::schedule::now_ms() / 1000 * 1000 - 60_000
}

fn receive(receiver: &Receiver, body: &[u8]) -> Written {
    receiver.receive(body, Version::V1).unwrap()
}

const NAME: (&str, &str) = ("__name__", "m");

#[test]
fn known_series_are_found_by_their_bytes_whatever_their_order() {
    let (receiver, t) = (receiver(), recent());
    let sorted: &[(&str, &str)] = &[NAME, ("a", "1"), ("b", "2")];
    let unsorted: &[(&str, &str)] = &[("b", "2"), NAME, ("empty", ""), ("a", "1")];
    for (step, labels) in [(0, sorted), (1, unsorted), (2, sorted), (3, unsorted)] {
        let written = receive(&receiver, &body(&[(labels, &[(step as f64, t + step)])]));
        assert_eq!((written.samples, written.messages.len()), (1, 0));
    }
    let all = format!("{{__name__=\"m\", a=\"1\", b=\"2\"}} {t}=0 {}=1 {}=2 {}=3", t + 1, t + 2, t + 3);
    assert_eq!(stored(&receiver), [all]);
    assert_eq!(receiver.cache.len(), 2);
    assert_eq!(receiver.metrics.remote_write.samples.get(), 4);
}

#[test]
fn nothing_is_kept_of_a_request_that_holds_a_bad_sample() {
    let (receiver, t) = (receiver(), recent());
    let (x, y): (&[_], &[_]) = (&[NAME, ("s", "x")], &[NAME, ("s", "y")]);
    receive(&receiver, &body(&[(x, &[(1.0, t)])]));
    // The same again is no error.
    assert_eq!(receive(&receiver, &body(&[(x, &[(1.0, t)])])).messages, Vec::<String>::new());
    let later = t + 3_600_000;
    let written =
        receive(&receiver, &body(&[(x, &[(2.0, t), (3.0, later)]), (y, &[(5.0, t)]), (x, &[(0.0, t - 1)])]));
    assert_eq!(
        written.messages,
        [
            format!("duplicate sample for timestamp {t}; overrides not allowed: existing 1, new value 2"),
            "out of bounds: timestamp is too far in the future".to_owned(),
            "out of order sample".to_owned(),
        ]
    );
    assert_eq!(written.samples, 0);
    assert_eq!(stored(&receiver), [format!("{{__name__=\"m\", s=\"x\"}} {t}=1")]);
    assert_eq!(receiver.metrics.remote_write.refused.get(), 3);
    // A second sample of a series is judged as if the first one were there.
    let written = receive(&receiver, &body(&[(y, &[(5.0, t), (6.0, t)])]));
    assert_eq!(
        written.messages,
        [format!("duplicate sample for timestamp {t}; overrides not allowed: existing 5, new value 6")]
    );
    assert_eq!(receive(&receiver, &body(&[(y, &[(6.0, t), (7.0, t + 1)])])).samples, 2);
}

#[test]
fn labels_that_are_none_are_left_out_and_counted() {
    let (receiver, t) = (receiver(), recent());
    let sample: &[_] = &[(1.0, t)];
    let bad: [&[(&str, &str)]; 4] =
        [&[("job", "j")], &[NAME, ("", "x")], &[NAME, ("a", "1"), ("a", "2")], &[("__name__", "")]];
    let mut series: Vec<OneSeries<'_>> = bad.iter().map(|labels| (*labels, sample)).collect();
    series.push((&[NAME], sample));
    let written = receive(&receiver, &body(&series));
    assert_eq!((written.samples, written.messages), (1, Vec::new()));
    assert_eq!(receiver.metrics.remote_write.invalid_labels.get(), 4);
    assert_eq!(stored(&receiver), [format!("{{__name__=\"m\"}} {t}=1")]);
}

#[test]
fn what_cannot_be_read_changes_nothing() {
    let (receiver, t) = (receiver(), recent());
    let whole = body(&[(&[NAME], &[(1.0, t)])]);
    for cut in 0..whole.len() {
        assert!(receiver.receive(&whole[..cut], Version::V1).is_err(), "{cut} bytes");
    }
    // A label inside of a whole series that is no message: found only when labels are taken apart.
    let labels: &[u8] = b"\x0a\x08\x0a\x03\x0a\x01m\x0a\x01\xff";
    let refused = receiver.receive(&snap_block(labels), Version::V1).unwrap_err();
    assert_eq!(refused.to_string(), "unexpected EOF");
    assert_eq!(stored(&receiver), Vec::<String>::new());
    receive(&receiver, &whole);
    assert_eq!(stored(&receiver).len(), 1);
}

#[test]
fn memory_of_requests_serves_again_unless_it_is_large() {
    let (receiver, t) = (receiver(), recent());
    receive(&receiver, &body(&[(&[NAME], &[(1.0, t)])]));
    assert_eq!(receiver.scratch().len(), 1);
    let long = "x".repeat(MAX_KEPT_BYTES);
    receive(&receiver, &body(&[(&[NAME, ("a", &long[..900_000])], &[(1.0, t)])]));
    assert_eq!(receiver.scratch().len(), 1);
    let _ = receiver.receive(&body(&[(&[NAME, ("a", &long)], &[(1.0, t)])]), Version::V1);
    assert_eq!(receiver.scratch().len(), 0, "given back");
}

/// A series `m` with one histogram of two buckets, 3 and 5 observations, and an exemplar.
fn with_extras(count: u8, time: i64, exemplar_time: i64) -> Vec<u8> {
    let mut label = Vec::new();
    field(&mut label, 0x0a, b"__name__");
    field(&mut label, 0x12, b"m");
    let mut histogram = vec![0x08, count, 0x20, 0x02];
    field(&mut histogram, 0x5a, &[0x08, 0x00, 0x10, 0x02]);
    // Differences of 3 and 2, zigzag.
    field(&mut histogram, 0x62, &[6, 4]);
    histogram.push(0x78);
    varint(&mut histogram, time.cast_unsigned());
    let mut trace = Vec::new();
    field(&mut trace, 0x0a, b"trace_id");
    field(&mut trace, 0x12, b"x");
    let mut exemplar = Vec::new();
    field(&mut exemplar, 0x0a, &trace);
    exemplar.push(0x18);
    varint(&mut exemplar, exemplar_time.cast_unsigned());
    let mut series = Vec::new();
    field(&mut series, 0x0a, &label);
    field(&mut series, 0x1a, &exemplar);
    field(&mut series, 0x22, &histogram);
    let mut request = Vec::new();
    field(&mut request, 0x0a, &series);
    snap_block(&request)
}

#[test]
fn histograms_and_exemplars_are_kept_or_refused_by_name() {
    let (receiver, t) = (receiver(), recent());
    let written = receive(&receiver, &with_extras(8, t, t));
    assert_eq!((written.samples, written.histograms, written.exemplars), (0, 1, 1));
    assert_eq!(written.messages, Vec::<String>::new());
    let any = [Matcher::equal("__name__", "m")];
    let selection = Selection { matchers: &any, start: TimeMs(i64::MIN), end: TimeMs(i64::MAX) };
    let found = receiver.storage.db().view().select(&selection).unwrap();
    let points = &found[0].histograms;
    assert_eq!((points.len(), points[0].time, points[0].histogram.count()), (1, t, 8.0));
    let exemplars = receiver.storage.db().exemplars(&[any.to_vec()], TimeMs(t), TimeMs(t));
    assert_eq!(exemplars[0].1[0].labels, Labels::from_pairs([("trace_id", "x")]));

    // The count disagrees; the exemplar comes too late, which version 1.0 does not tell.
    let written = receive(&receiver, &with_extras(10, t + 1000, t - 1000));
    assert_eq!((written.histograms, written.exemplars), (0, 0));
    assert_eq!(
        written.messages,
        [
            "8 observations found in buckets, but the Count field is 10: histogram's observation count should equal \
          the number of observations found in the buckets (in absence of NaN)"
        ]
    );
    assert_eq!(receive(&receiver, &with_extras(8, t - 1000, t)).messages, ["out of order sample"]);
    let counts = &receiver.metrics.remote_write;
    assert_eq!((counts.histograms.get(), counts.exemplars.get(), counts.refused.get()), (1, 1, 2));
}
