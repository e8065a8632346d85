//! Messages that clients of the metrics store send besides remote write.

use cairn_wire::{decompress, otlp_metrics, prompb};

/// The first byte chooses between protobuf and JSON.
pub(crate) fn otlp(input: &[u8]) {
    let Some((&choice, body)) = input.split_first() else { return };
    if choice & 1 == 0 {
        // What is read can be written, and is the same then.
        if let Ok(request) = otlp_metrics::decode_protobuf(body) {
            let bytes = prompb::encode(&request);
            let again = otlp_metrics::decode_protobuf(&bytes).map(|again| prompb::encode(&again));
            assert_eq!(again, Ok(bytes));
        }
    } else if let Ok(request) = otlp_metrics::decode_json(body) {
        let _ = otlp_metrics::decode_protobuf(&prompb::encode(&request));
    }
}

pub(crate) fn otlp_seeds() -> Vec<Vec<u8>> {
    let points = [
        r#""gauge": {"dataPoints": [{"asDouble": 1.5, "attributes": [{"key": "a", "value": {"arrayValue": {"values": [{"intValue": "1"}]}}}]}]}"#,
        r#""sum": {"aggregationTemporality": "AGGREGATION_TEMPORALITY_CUMULATIVE", "isMonotonic": true, "dataPoints": [{"asInt": "7", "timeUnixNano": "5", "exemplars": [{"traceId": "0aff", "asInt": 1}]}]}"#,
        r#""histogram": {"aggregationTemporality": 2, "dataPoints": [{"count": 3, "sum": "NaN", "bucketCounts": ["1", 2], "explicitBounds": [0.5]}]}"#,
        r#""exponentialHistogram": {"aggregationTemporality": 2, "dataPoints": [{"count": 3, "scale": -1, "positive": {"offset": -2, "bucketCounts": ["1", 2]}}]}"#,
        r#""summary": {"dataPoints": [{"count": 3, "sum": 1, "quantileValues": [{"quantile": 0.5, "value": 2}]}]}"#,
    ];
    let mut seeds = Vec::new();
    for point in points {
        let json = format!(
            r#"{{"resourceMetrics": [{{"resource": {{"attributes": [{{"key": "service.name", "value": {{"stringValue": "x"}}}}]}}, "scopeMetrics": [{{"scope": {{"name": "s"}}, "metrics": [{{"name": "n", "unit": "s", {point}}}]}}]}}]}}"#
        );
        let protobuf = prompb::encode(&otlp_metrics::decode_json(json.as_bytes()).unwrap_or_default());
        seeds.push([&[0], &protobuf[..]].concat());
        seeds.push([&[1], json.as_bytes()].concat());
    }
    seeds
}

/// A request of remote read: a snappy block.
pub(crate) fn remote_read(input: &[u8]) {
    if let Ok(plain) = decompress::snappy_block(input, 1 << 20) {
        let _ = prompb::decode::<prompb::ReadRequest>(&plain);
    }
    let _ = prompb::decode::<prompb::ReadRequest>(input);
}

pub(crate) fn remote_read_seeds() -> Vec<Vec<u8>> {
    let matcher = prompb::LabelMatcher { kind: 2, name: "job".to_owned(), value: "a.*".to_owned() };
    let query = prompb::Query {
        start_timestamp_ms: 1,
        end_timestamp_ms: 2,
        matchers: vec![matcher.clone(), matcher],
    };
    let request = prompb::ReadRequest { queries: vec![query], accepted_response_types: vec![1, 0] };
    let plain = prompb::encode(&request);
    let packed = snap::raw::Encoder::new().compress_vec(&plain).unwrap_or_default();
    vec![packed, plain]
}
