//! Remote write 1.0 as senders write it: a snappy block of a `prometheus.WriteRequest`, one sample in each series.
//!
//! Written by hand, so that the generator costs less than what it measures; and not by the store's own encoder, so
//! that both being wrong in the same way does not look right.

use crate::fleet::{Fleet, Host};

/// Encoded labels of every series of one machine.
#[derive(Debug)]
pub struct EncodedLabels {
    text: Vec<u8>,
    ends: Vec<usize>,
}

impl EncodedLabels {
    /// Encodes the labels of a machine.
    pub fn new(fleet: &Fleet, host: usize) -> Self {
        let (mut text, mut ends) = (Vec::new(), Vec::new());
        for labels in fleet.labels(host) {
            for (name, value) in labels {
                let mut label = Vec::new();
                push_field(&mut label, 0x0a, name.as_bytes());
                push_field(&mut label, 0x12, value.as_bytes());
                push_field(&mut text, 0x0a, &label);
            }
            ends.push(text.len());
        }
        text.shrink_to_fit();
        Self { text, ends }
    }

    /// Appends one sample of each series to a request.
    pub fn push_samples(&self, host: &Host, time_ms: i64, request: &mut Vec<u8>) {
        let mut time = Vec::with_capacity(10);
        push_varint(&mut time, time_ms.cast_unsigned());
        let sample_len = 1 + 8 + 1 + time.len();
        let mut start = 0;
        for (end, value) in self.ends.iter().zip(host.values()) {
            let labels = &self.text[start..*end];
            start = *end;
            request.push(0x0a);
            push_varint(request, (labels.len() + 2 + sample_len) as u64);
            request.extend_from_slice(labels);
            request.push(0x12);
            push_varint(request, sample_len as u64);
            request.push(0x09);
            request.extend_from_slice(&value.to_le_bytes());
            request.push(0x10);
            request.extend_from_slice(&time);
        }
    }
}

/// Compresses a request into `out`.
///
/// # Panics
/// If a request were longer than 4 GiB.
pub fn compress(encoder: &mut snap::raw::Encoder, request: &[u8], out: &mut Vec<u8>) {
    out.resize(snap::raw::max_compress_len(request.len()), 0);
    let len = encoder.compress(request, out).expect("a request of some megabytes");
    out.truncate(len);
}

/// Appends a field of bytes: its tag, their number, themselves.
pub fn push_field(out: &mut Vec<u8>, tag: u8, bytes: &[u8]) {
    out.push(tag);
    push_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Appends a number as protobuf's varint.
pub fn push_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push((value & 0x7f) as u8);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::template::{PAGE, Template};

    #[test]
    fn first_series_byte_by_byte() {
        let fleet = Fleet::new(Template::parse("# TYPE m gauge\nm 5\n").unwrap());
        let host = Host::new(&fleet, 3);
        let mut request = Vec::new();
        EncodedLabels::new(&fleet, 3).push_samples(&host, 300, &mut request);
        let name = b"\x0a\x0d\x0a\x08__name__\x12\x01m";
        assert_eq!(&request[3..3 + name.len()], name);
        let end = &request[..3 + usize::from(request[1] & 0x7f) + (usize::from(request[2]) << 7)];
        assert!(end.ends_with(b"\x12\x0c\x09\0\0\0\0\0\0\x14\x40\x10\xac\x02"), "{end:?}");
    }

    #[test]
    fn five_machines_are_a_request_of_the_wanted_size() {
        let fleet = Fleet::new(Template::parse(PAGE).unwrap());
        let mut request = Vec::new();
        for number in 0..5 {
            EncodedLabels::new(&fleet, number).push_samples(
                &Host::new(&fleet, number),
                1_700_000_000_000,
                &mut request,
            );
        }
        let per_sample = request.len() / (5 * fleet.series_per_host());
        assert!((150..300).contains(&per_sample), "{per_sample} bytes for a sample with its labels");
        let mut out = Vec::new();
        compress(&mut snap::raw::Encoder::new(), &request, &mut out);
        assert!(out.len() * 4 < request.len());
        assert_eq!(cairn_wire::decompress::snappy_block(&out, request.len()).unwrap(), request);
    }
}
