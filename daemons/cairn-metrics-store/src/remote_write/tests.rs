#![expect(clippy::cast_precision_loss, reason = "small numbers")]

use cairn_model::{MatchOp, Matcher, TimeMs};
use cairn_promql::source::{SampleSource, Selection};

use super::*;

type OneSeries<'a> = (&'a [(&'a str, &'a str)], &'a [(f64, i64)]);

/// `WriteRequest` of version 1.0, compressed; each series with labels and samples.
fn body(series: &[OneSeries<'_>]) -> Vec<u8> {
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
fn good_samples_are_kept_beside_bad_ones() {
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
    assert_eq!(written.samples, 1);
    assert_eq!(
        stored(&receiver),
        [format!("{{__name__=\"m\", s=\"x\"}} {t}=1"), format!("{{__name__=\"m\", s=\"y\"}} {t}=5")]
    );
    assert_eq!(receiver.metrics.remote_write.refused.get(), 3);
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
