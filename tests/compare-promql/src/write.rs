//! Writes the data to a store: remote write 1.0, in slices of time, so that nothing comes late anywhere.

use anyhow::{Context, Result};
use cairn_bench_metrics::encode::{compress, push_field, push_varint};
use cairn_bench_metrics::http::Client;

use crate::clock::{BEGIN_MS, LENGTH_MS, MINUTE_MS};
use crate::dataset::Series;

/// What one request holds of each series. A store refuses what is more than an hour behind its newest sample.
const SLICE_MS: i64 = 10 * MINUTE_MS;

/// Sends every series.
///
/// # Errors
/// The store refuses a request.
pub(crate) fn write(client: &Client, series: &[Series]) -> Result<()> {
    let mut encoder = snap::raw::Encoder::new();
    let mut body = Vec::new();
    let mut from = BEGIN_MS;
    while from < BEGIN_MS + LENGTH_MS + SLICE_MS {
        let request = request(series, from, from + SLICE_MS);
        compress(&mut encoder, &request, &mut body);
        client.write(&body).with_context(|| format!("write the samples from {from}"))?;
        from += SLICE_MS;
    }
    Ok(())
}

/// A `prometheus.WriteRequest` of the samples in `from..until`.
fn request(series: &[Series], from: i64, until: i64) -> Vec<u8> {
    let mut request = Vec::new();
    for one in series {
        let samples: Vec<_> = one.samples.iter().filter(|(time, _)| (from..until).contains(time)).collect();
        if samples.is_empty() {
            continue;
        }
        let mut encoded = Vec::new();
        for (name, value) in &one.labels {
            let mut label = Vec::new();
            push_field(&mut label, 0x0a, name.as_bytes());
            push_field(&mut label, 0x12, value.as_bytes());
            push_field(&mut encoded, 0x0a, &label);
        }
        for (time, value) in samples {
            let mut sample = vec![0x09];
            sample.extend_from_slice(&value.to_le_bytes());
            sample.push(0x10);
            push_varint(&mut sample, time.cast_unsigned());
            push_field(&mut encoded, 0x12, &sample);
        }
        push_field(&mut request, 0x0a, &encoded);
    }
    request
}
