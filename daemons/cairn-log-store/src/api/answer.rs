//! Query answers as Loki's JSON: order of keys, forms of values, the `stats` object.

use std::time::Duration;

use axum::response::{IntoResponse, Response};
use cairn_logql::{LogAnswer, MetricAnswer, MetricValue, Stats};
use cairn_model::TimeNs;
use http::{HeaderValue, header};

use super::request::AnswerForm;
use crate::json;

/// What a query cost, for `stats`.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cost {
    /// The evaluation's counters.
    pub stats: Stats,
    /// Entries or points in the answer.
    pub returned: u64,
    /// Time of the evaluation.
    pub took: Duration,
    /// Time in the queue before it.
    pub waited: Duration,
}

/// 200 with a JSON body, which gets its final newline here.
pub(super) fn json_response(mut body: Vec<u8>) -> Response {
    body.push(b'\n');
    ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json; charset=UTF-8"))], body)
        .into_response()
}

/// `{"status":"success","data":["a","b"]}`; without `data` when there is nothing, as Loki does.
pub(super) fn string_list(texts: &[String]) -> Vec<u8> {
    let mut out = b"{\"status\":\"success\"".to_vec();
    if !texts.is_empty() {
        out.extend_from_slice(b",\"data\":");
        json::push_strings(&mut out, texts);
    }
    out.push(b'}');
    out
}

/// Starts an answer up to the opening bracket of its result.
pub(super) fn begin(out: &mut Vec<u8>, result_type: &str, flags: &[String], warnings: &[String]) {
    out.extend_from_slice(b"{\"status\":\"success\"");
    if !warnings.is_empty() {
        out.extend_from_slice(b",\"warnings\":");
        json::push_strings(out, warnings);
    }
    out.extend_from_slice(b",\"data\":{\"resultType\":");
    json::push_string(out, result_type.as_bytes());
    if !flags.is_empty() {
        out.extend_from_slice(b",\"encodingFlags\":");
        json::push_strings(out, flags);
    }
    out.extend_from_slice(b",\"result\":");
}

/// Ends an answer behind its result.
pub(super) fn end(out: &mut Vec<u8>, cost: &Cost) {
    out.extend_from_slice(b",\"stats\":");
    push_stats(out, cost);
    out.extend_from_slice(b"}}");
}

/// The answer of a log query.
pub(super) fn streams(answer: &LogAnswer, form: &AnswerForm, warnings: &[String], cost: &Cost) -> Vec<u8> {
    let mut out = Vec::with_capacity(1024 + answer.entries.iter().map(|e| e.line.len() + 64).sum::<usize>());
    begin(&mut out, "streams", &form.flags, warnings);
    out.push(b'[');
    for (index, stream) in answer.streams(form.categorize).iter().enumerate() {
        out.extend_from_slice(if index > 0 { b",{\"stream\":" } else { b"{\"stream\":" });
        json::push_pairs(&mut out, stream.labels.iter().copied());
        out.extend_from_slice(b",\"values\":[");
        for (index, entry) in stream.entries.iter().enumerate() {
            out.extend_from_slice(if index > 0 { b",[\"" } else { b"[\"" });
            json::push_number(&mut out, entry.time.0);
            out.extend_from_slice(b"\",");
            json::push_string(&mut out, &entry.line);
            if form.categorize {
                out.extend_from_slice(b",{");
                let labels = &entry.labels;
                if !labels.metadata.is_empty() {
                    out.extend_from_slice(b"\"structuredMetadata\":");
                    json::push_labels(&mut out, &labels.metadata);
                }
                if !labels.parsed.is_empty() {
                    let comma: &[u8] = if labels.metadata.is_empty() { b"" } else { b"," };
                    out.extend_from_slice(comma);
                    out.extend_from_slice(b"\"parsed\":");
                    json::push_pairs(&mut out, labels.parsed.iter().map(|(n, v)| (n.as_str(), v.as_str())));
                }
                out.push(b'}');
            }
            out.push(b']');
        }
        out.extend_from_slice(b"]}");
    }
    out.push(b']');
    end(&mut out, cost);
    out
}

/// The answer of a metric query; `time` is that of an instant query.
pub(super) fn metric(answer: &MetricAnswer, time: TimeNs, warnings: &[String], cost: &Cost) -> Vec<u8> {
    let mut out = Vec::new();
    match &answer.value {
        MetricValue::Scalar(value) => {
            begin(&mut out, "scalar", &[], warnings);
            json::push_sample(&mut out, time.to_ms(), *value);
        }
        MetricValue::Vector(samples) => {
            begin(&mut out, "vector", &[], warnings);
            out.push(b'[');
            for (index, sample) in samples.iter().enumerate() {
                out.extend_from_slice(if index > 0 { b",{\"metric\":" } else { b"{\"metric\":" });
                json::push_labels(&mut out, &sample.labels);
                out.extend_from_slice(b",\"value\":");
                json::push_sample(&mut out, time.to_ms(), sample.value);
                out.push(b'}');
            }
            out.push(b']');
        }
        MetricValue::Matrix(list) => {
            begin(&mut out, "matrix", &[], warnings);
            out.push(b'[');
            for (index, series) in list.iter().enumerate() {
                out.extend_from_slice(if index > 0 { b",{\"metric\":" } else { b"{\"metric\":" });
                json::push_labels(&mut out, &series.labels);
                out.extend_from_slice(b",\"values\":[");
                for (index, (time, value)) in series.points.iter().enumerate() {
                    if index > 0 {
                        out.push(b',');
                    }
                    json::push_sample(&mut out, time.to_ms(), *value);
                }
                out.extend_from_slice(b"]}");
            }
            out.push(b']');
        }
    }
    end(&mut out, cost);
    out
}

/// How many points a metric answer has.
pub(super) fn n_points(value: &MetricValue) -> u64 {
    match value {
        MetricValue::Scalar(_) => 1,
        MetricValue::Vector(samples) => samples.len() as u64,
        MetricValue::Matrix(list) => list.iter().map(|series| series.points.len() as u64).sum(),
    }
}

/// Kinds of caches that Loki reports about. Cairn has none of them, so their numbers are zero.
const CACHES: [&str; 10] = [
    "chunk",
    "index",
    "result",
    "statsResult",
    "volumeResult",
    "seriesResult",
    "labelResult",
    "instantMetricResult",
    "logResult",
    "taskResult",
];

/// The `stats` object. All keys are there, since Grafana reads named leaves; what has no meaning here is zero.
fn push_stats(out: &mut Vec<u8>, cost: &Cost) {
    let Cost { stats, returned, took, waited } = cost;
    let seconds = took.as_secs_f64();
    let per_second = |n: u64| {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a rate for people; saturates"
        )]
        if seconds > 0.0 { (n as f64 / seconds) as u64 } else { 0 }
    };
    let bytes = stats.bytes + stats.metadata_bytes;
    let store = |lines: u64, line_bytes: u64, metadata_bytes: u64, kept: u64| {
        format!(
            "{{\"totalChunksRef\":0,\"totalChunksDownloaded\":0,\"chunksDownloadTime\":0,\
             \"queryReferencedStructuredMetadata\":false,\"chunk\":{{\"headChunkBytes\":0,\"headChunkLines\":0,\
             \"decompressedBytes\":{line_bytes},\"decompressedLines\":{lines},\"compressedBytes\":0,\
             \"totalDuplicates\":0,\"postFilterLines\":{kept},\"headChunkStructuredMetadataBytes\":0,\
             \"decompressedStructuredMetadataBytes\":{metadata_bytes}}},\"chunkRefsFetchTime\":0,\
             \"congestionControlLatency\":0,\"pipelineWrapperFilteredLines\":0}}"
        )
    };
    json::push_number(
        out,
        format_args!(
            "{{\"summary\":{{\"bytesProcessedPerSecond\":{},\"linesProcessedPerSecond\":{},\
             \"totalBytesProcessed\":{bytes},\"totalLinesProcessed\":{},\"execTime\":{seconds:.6},\
             \"queueTime\":{:.6},\"subqueries\":0,\"totalEntriesReturned\":{returned},\"splits\":0,\"shards\":0,\
             \"totalPostFilterLines\":{},\"totalStructuredMetadataBytesProcessed\":{}}},\
             \"querier\":{{\"store\":{},\"querierExecTime\":{}}},\
             \"ingester\":{{\"totalReached\":0,\"totalChunksMatched\":0,\"totalBatches\":0,\"totalLinesSent\":0,\
             \"store\":{},\"recvWaitTime\":0}},\"cache\":{{",
            per_second(bytes),
            per_second(stats.lines),
            stats.lines,
            waited.as_secs_f64(),
            stats.lines_kept,
            stats.metadata_bytes,
            store(stats.lines, stats.bytes, stats.metadata_bytes, stats.lines_kept),
            took.as_nanos(),
            store(0, 0, 0, 0),
        ),
    );
    for (index, name) in CACHES.iter().enumerate() {
        let comma = if index > 0 { "," } else { "" };
        json::push_number(
            out,
            format_args!(
                "{comma}\"{name}\":{{\"entriesFound\":0,\"entriesRequested\":0,\"entriesStored\":0,\
                 \"bytesReceived\":0,\"bytesSent\":0,\"requests\":0,\"downloadTime\":0,\"queryLengthServed\":0}}"
            ),
        );
    }
    json::push_number(
        out,
        format_args!(
            "}},\"index\":{{\"totalChunks\":0,\"postFilterChunks\":0,\"shardsDuration\":0,\"usedBloomFilters\":false,\
             \"totalStreams\":{},\"chunkRefsLookupTime\":0,\"bloomFilterTime\":0}}}}",
            stats.streams
        ),
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use cairn_logql::{EntryLabels, LogEntry, Sample};
    use cairn_model::Labels;
    use std::sync::Arc;

    fn without_stats(body: &[u8]) -> String {
        let text = String::from_utf8(body.to_vec()).unwrap();
        serde_json::from_str::<serde_json::Value>(&text).unwrap();
        let at = text.find(",\"stats\":").unwrap();
        text[..at].to_owned()
    }

    fn answer() -> LogAnswer {
        let labels = Arc::new(EntryLabels {
            stream: Labels::from_pairs([("job", "app")]),
            metadata: Labels::from_pairs([("trace_id", "t5")]),
            parsed: vec![("level".into(), "error".into())],
        });
        let bare =
            Arc::new(EntryLabels { stream: Labels::from_pairs([("job", "app")]), ..EntryLabels::default() });
        let entry = |time, labels: &Arc<EntryLabels>| LogEntry {
            time: TimeNs(time),
            line: b"<a>\xff".to_vec(),
            labels: Arc::clone(labels),
        };
        LogAnswer { entries: vec![entry(5, &labels), entry(4, &bare)], ..LogAnswer::default() }
    }

    #[test]
    fn streams_merged_and_by_category() {
        let merged = streams(&answer(), &AnswerForm::default(), &[], &Cost::default());
        assert_eq!(
            without_stats(&merged),
            concat!(
                r#"{"status":"success","data":{"resultType":"streams","result":[{"stream":{"job":"app"},"#,
                r#""values":[["4","\u003ca\u003e\ufffd"]]},{"stream":{"job":"app","level":"error","trace_id":"t5"},"#,
                r#""values":[["5","\u003ca\u003e\ufffd"]]}]"#
            )
        );
        let form =
            AnswerForm { flags: vec!["categorize-labels".into()], categorize: true, partial_series: false };
        let by_category = streams(&answer(), &form, &["careful".into()], &Cost::default());
        assert_eq!(
            without_stats(&by_category),
            concat!(
                r#"{"status":"success","warnings":["careful"],"data":{"resultType":"streams","#,
                r#""encodingFlags":["categorize-labels"],"result":[{"stream":{"job":"app"},"values":["#,
                r#"["5","\u003ca\u003e\ufffd",{"structuredMetadata":{"trace_id":"t5"},"parsed":{"level":"error"}}],"#,
                r#"["4","\u003ca\u003e\ufffd",{}]]}]"#
            )
        );
    }

    #[test]
    fn vectors_and_scalars() {
        let answer = |value| MetricAnswer { value, stats: Stats::default(), warnings: vec![] };
        let vector = answer(MetricValue::Vector(vec![Sample { labels: Labels::empty(), value: 2.0 }]));
        let body = metric(&vector, TimeNs(4_000_000_000_000_000_000), &[], &Cost::default());
        assert_eq!(
            without_stats(&body),
            r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[4000000000,"2"]}]"#
        );
        let body = metric(&answer(MetricValue::Scalar(1.5)), TimeNs(1_500_000_000), &[], &Cost::default());
        assert_eq!(
            without_stats(&body),
            r#"{"status":"success","data":{"resultType":"scalar","result":[1.5,"1.5"]"#
        );
    }

    #[test]
    fn an_empty_list_has_no_data() {
        assert_eq!(string_list(&[]), br#"{"status":"success"}"#);
        assert_eq!(string_list(&["a".into()]), br#"{"status":"success","data":["a"]}"#);
    }
}
