//! Which series a push becomes. The expectations are those of the peer's translator.

use cairn_wire::otlp_metrics::decode_json;

use super::names::Strategy;
use super::*;

const RESOURCE: &str = r#""resource": {"attributes": [
    {"key": "service.name", "value": {"stringValue": "api"}},
    {"key": "service.namespace", "value": {"stringValue": "shop"}},
    {"key": "service.instance.id", "value": {"stringValue": "i1"}},
    {"key": "host.name", "value": {"stringValue": "box"}}]}"#;

fn request(metrics: &str) -> otlp::ExportRequest {
    let scope =
        r#"{"name": "lib", "version": "1", "attributes": [{"key": "a.b", "value": {"stringValue": "c"}}]}"#;
    let json = format!(
        r#"{{"resourceMetrics": [{{{RESOURCE}, "scopeMetrics": [{{"scope": {scope}, "schemaUrl": "u", "metrics": [{metrics}]}}]}}]}}"#
    );
    decode_json(json.as_bytes()).unwrap_or_else(|error| panic!("{error}: {json}"))
}

/// `name{label="value"} value @ milliseconds # exemplars`
fn lines(metrics: &str, settings: &OtlpSettings) -> Vec<String> {
    let translated = translate(&request(metrics), settings, 150_000).unwrap();
    let line = |series: &prompb::TimeSeries| {
        let labels: Vec<String> = series
            .labels
            .iter()
            .filter(|label| label.name != NAME)
            .map(|label| format!("{}={}", label.name, label.value))
            .collect();
        let name = series.labels.iter().find(|label| label.name == NAME).map_or("", |label| &*label.value);
        let mut line = format!("{name}{{{}}}", labels.join(","));
        for sample in &series.samples {
            line += &format!(" {}@{}", sample.value, sample.timestamp);
        }
        for histogram in &series.histograms {
            line += &format!(" histogram {:?}@{}", histogram.count_int, histogram.timestamp);
        }
        for exemplar in &series.exemplars {
            let labels: Vec<String> =
                exemplar.labels.iter().map(|label| format!("{}={}", label.name, label.value)).collect();
            line += &format!(" # {} {}@{}", labels.join(","), exemplar.value, exemplar.timestamp);
        }
        line
    };
    translated.timeseries.iter().map(line).collect()
}

const GAUGE: &str = r#"{"name": "cpu.load", "unit": "1", "gauge": {"dataPoints": [
    {"timeUnixNano": "5000000000", "asDouble": 0.5, "attributes": [
        {"key": "a.b", "value": {"intValue": "1"}}, {"key": "a_b", "value": {"boolValue": true}}]}]}}"#;

#[test]
fn gauges_and_the_resource() {
    assert_eq!(
        lines(GAUGE, &OtlpSettings::default()),
        [
            "cpu_load_ratio{a_b=1;true,instance=i1,job=shop/api} 0.5@5000",
            "target_info{host_name=box,instance=i1,job=shop/api} 1@5000",
        ]
    );
    let settings = OtlpSettings {
        promoted: vec!["host.name".to_owned()],
        keeps_identifying: true,
        has_scope: true,
        strategy: Strategy::of("NoTranslation").unwrap(),
        ..OtlpSettings::default()
    };
    assert_eq!(
        lines(GAUGE, &settings),
        [
            "cpu.load{a.b=1,a_b=true,host.name=box,instance=i1,job=shop/api,otel_scope_a.b=c,otel_scope_name=lib,\
             otel_scope_schema_url=u,otel_scope_version=1} 0.5@5000",
            "target_info{host.name=box,instance=i1,job=shop/api,service.instance.id=i1,service.name=api,\
             service.namespace=shop} 1@5000",
        ]
    );
}

#[test]
fn sums_and_their_exemplars() {
    let sum = r#"{"name": "http.requests", "sum": {"isMonotonic": true, "aggregationTemporality": 2, "dataPoints": [
        {"timeUnixNano": "5000000000", "asInt": "7", "exemplars": [
            {"timeUnixNano": "4000000000", "asInt": "1", "traceId": "0aff", "spanId": "00",
             "filteredAttributes": [{"key": "x", "value": {"stringValue": "y"}}]}]},
        {"timeUnixNano": "400000000000", "flags": 1}]}}"#;
    let lines = lines(sum, &OtlpSettings::default());
    assert_eq!(lines[0], "http_requests_total{instance=i1,job=shop/api} 7@5000 # trace_id=0aff,x=y 1@4000");
    assert_eq!(lines[1], "http_requests_total{instance=i1,job=shop/api} NaN@400000");
    // Often enough to be seen at each time between the samples.
    let infos: Vec<&str> = lines[2..].iter().map(|line| line.rsplit_once('@').unwrap().1).collect();
    assert_eq!(infos, ["5000", "155000", "305000", "400000"]);
}

#[test]
fn histograms_and_summaries() {
    let histogram = r#"{"name": "lat", "unit": "ms", "histogram": {"aggregationTemporality": 2, "dataPoints": [
        {"timeUnixNano": "5000000000", "count": "6", "sum": 2.5, "bucketCounts": ["1", "2", "3"], "explicitBounds": [0.5, 1],
         "exemplars": [{"asDouble": 0.7, "timeUnixNano": "1000000"}, {"asDouble": 9, "timeUnixNano": "1000000"}]}]}}"#;
    let classic = lines(histogram, &OtlpSettings::default());
    assert_eq!(
        classic[..5],
        [
            "lat_milliseconds_sum{instance=i1,job=shop/api} 2.5@5000",
            "lat_milliseconds_count{instance=i1,job=shop/api} 6@5000",
            "lat_milliseconds_bucket{instance=i1,job=shop/api,le=0.5} 1@5000",
            "lat_milliseconds_bucket{instance=i1,job=shop/api,le=1} 3@5000 #  0.7@1",
            "lat_milliseconds_bucket{instance=i1,job=shop/api,le=+Inf} 6@5000 #  9@1",
        ]
    );
    let native = lines(histogram, &OtlpSettings { makes_native: true, ..OtlpSettings::default() });
    assert_eq!(
        native[0],
        "lat_milliseconds{instance=i1,job=shop/api} histogram Some(6)@5000 #  0.7@1 #  9@1"
    );
    let exponential = r#"{"name": "e", "exponentialHistogram": {"aggregationTemporality": 2, "dataPoints": [
        {"timeUnixNano": "5000000000", "count": "2", "scale": 0, "positive": {"offset": 0, "bucketCounts": ["2"]}}]}}"#;
    let native = lines(exponential, &OtlpSettings::default());
    assert_eq!(native[0], "e{instance=i1,job=shop/api} histogram Some(2)@5000");
    let summary = r#"{"name": "s", "summary": {"dataPoints": [
        {"timeUnixNano": "5000000000", "count": "2", "sum": 3, "quantileValues": [{"quantile": 0.99, "value": 2}]}]}}"#;
    assert_eq!(
        lines(summary, &OtlpSettings::default())[..3],
        [
            "s_sum{instance=i1,job=shop/api} 3@5000",
            "s_count{instance=i1,job=shop/api} 2@5000",
            "s{instance=i1,job=shop/api,quantile=0.99} 2@5000",
        ]
    );
}

#[test]
fn faults_are_told_one_by_one() {
    let metrics = r#"{"name": "d", "sum": {"aggregationTemporality": 1}},
        {"name": "none"}, {"name": "..", "gauge": {}},
        {"name": "g", "gauge": {"dataPoints": [{"attributes": [{"key": "", "value": {"stringValue": "x"}}]}]}}"#;
    let error = translate(&request(metrics), &OtlpSettings::default(), 150_000).unwrap_err();
    assert_eq!(
        error.to_string(),
        "invalid temporality and type combination for metric \"d\"\n\
         could not get aggregation temporality for none as it has unsupported metric type Empty\n\
         normalization for metric \"..\" resulted in empty name\n\
         label name is empty"
    );
    // Times that lie a life apart make no million samples.
    let far = r#"{"name": "g", "gauge": {"dataPoints": [{"timeUnixNano": "0"}, {"timeUnixNano": "1795224884348000000"}]}}"#;
    let translated = translate(&request(far), &OtlpSettings::default(), 150_000).unwrap();
    assert_eq!(translated.timeseries.len(), 2 + MAX_INFO_SAMPLES + 1);
}

fn attribute(key: &str, value: String) -> otlp::KeyValue {
    let value = otlp::AnyValue { string_value: Some(value), ..otlp::AnyValue::default() };
    otlp::KeyValue { key: key.to_owned(), value: Some(value) }
}

/// Gauges of one resource, each with so many points.
fn gauges(resource: Vec<otlp::KeyValue>, n_points: usize) -> otlp::ExportRequest {
    let gauge = otlp::Gauge { data_points: vec![otlp::NumberDataPoint::default(); n_points] };
    let metric = otlp::Metric { name: "g".to_owned(), gauge: Some(gauge), ..otlp::Metric::default() };
    let scope = otlp::ScopeMetrics { metrics: vec![metric], ..otlp::ScopeMetrics::default() };
    let resource = Some(otlp::Resource { attributes: resource });
    otlp::ExportRequest {
        resource_metrics: vec![otlp::ResourceMetrics { resource, scope_metrics: vec![scope] }],
    }
}

#[test]
fn labels_that_are_copied_into_every_series_are_bounded() {
    let refused = |attributes, n_points| {
        let outcome = translate(&gauges(attributes, n_points), &OtlpSettings::default(), 150_000);
        match outcome.unwrap_err() {
            TranslateError::TooLarge(text) => text,
            TranslateError::Bad(text) => panic!("{text}"),
        }
    };
    let long = "the labels of a series have more than 1048576 bytes; send shorter attributes";
    assert_eq!(refused(vec![attribute("service.name", "j".repeat(2 << 20))], 1), long);
    let much = "the request becomes more than 134217728 bytes of labels and samples; send smaller batches";
    let half = vec![attribute("service.name", "j".repeat(1 << 19))];
    assert_eq!(refused(half.clone(), 400), much);
    assert!(translate(&gauges(half, 100), &OtlpSettings::default(), 150_000).is_ok());
    // Rows of `target_info` as well.
    let mut info =
        gauges(vec![attribute("service.name", "j".to_owned()), attribute("x", "x".repeat(1 << 19))], 2);
    let gauge = info.resource_metrics[0].scope_metrics[0].metrics[0].gauge.as_mut().unwrap();
    gauge.data_points[1].time_unix_nano = 1_795_224_884_348_000_000;
    let outcome = translate(&info, &OtlpSettings::default(), 150_000);
    assert_eq!(outcome, Err(TranslateError::TooLarge(much.to_owned())));
}

#[test]
fn values_of_one_label_are_joined_up_to_a_bound() {
    let keys = ["a.b", "a/b", "a_b"];
    let joined = |n_bytes: usize| {
        let mut attributes: Vec<_> = keys.iter().map(|key| attribute(key, "v".repeat(n_bytes))).collect();
        attributes.push(attribute("service.name", "j".to_owned()));
        translate(&gauges(attributes, 1), &OtlpSettings::default(), 150_000)
    };
    let series = joined(2).unwrap().timeseries;
    assert!(series[1].labels.iter().any(|label| label.name == "a_b" && label.value == "vv;vv;vv"));
    assert!(matches!(joined(400_000), Err(TranslateError::TooLarge(_))));
}

#[test]
fn faults_are_told_up_to_a_number_and_with_short_names() {
    let name = "é".repeat(1000);
    let metrics = vec![otlp::Metric { name, ..otlp::Metric::default() }; 150];
    let mut request = gauges(Vec::new(), 0);
    request.resource_metrics[0].scope_metrics[0].metrics = metrics;
    let error = translate(&request, &OtlpSettings::default(), 150_000).unwrap_err().to_string();
    let lines: Vec<&str> = error.lines().collect();
    assert_eq!((lines.len(), lines[100]), (101, "and 50 more"));
    assert!(lines[0].contains(&format!(" {} ", "é".repeat(100))), "{}", lines[0]);
}
