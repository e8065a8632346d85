use cairn_model::number::plain_float;

use super::*;

/// Every item of a page on a line of its own, `error: ...` at the end if there is one.
fn items(body: &str) -> Vec<String> {
    let mut out = Vec::new();
    let read = parse(body.as_bytes(), Format::OpenMetrics, Options::default(), |item, labels, exemplars| {
        out.push(match item {
            Item::Type { name, metric_type } => format!("type {name} {metric_type}"),
            Item::Help { name, text } => format!("help {name} {text}"),
            Item::Unit { name, unit } => format!("unit {name} {unit}"),
            Item::Sample(sample) => {
                let Value::Float(value) = sample.value else { panic!("a histogram in text") };
                let mut text = format!("{} {}", labels.unwrap(), plain_float(value));
                if let Some(time) = sample.timestamp {
                    text.push_str(&format!(" @{time}"));
                }
                for exemplar in exemplars {
                    text.push_str(&format!(
                        " # {} {} {:?}",
                        exemplar.labels, exemplar.value, exemplar.time_ms
                    ));
                }
                text
            }
        });
    });
    if let Err(error) = read {
        out.push(format!("error: {error}"));
    }
    out
}

#[test]
fn reads_a_page() {
    let body = "# TYPE req_seconds histogram\n\
                # UNIT req_seconds seconds\n\
                # HELP req_seconds How \\\"long\\\"\\n it \\\\ takes\n\
                req_seconds_bucket{le=\"1\"} 2 # {trace_id=\"a\\\"b\"} 0.67 1520879607.789\n\
                req_seconds_bucket{le=\"+Inf\"} 3 1520879607.5 # {} -1\n\
                req_seconds_count 3\n\
                req_seconds_created 1.5e9\n\
                # TYPE up stateset\n\
                up{up=\"yes\"} 1 -0.5\n\
                # TYPE build info\n\
                {\"build.info\",\"v\"=\"1\"} 1\n\
                # TYPE x unknown\n\
                x NaN\n\
                # TYPE g gaugehistogram\n\
                # UNIT g \n\
                # EOF\n";
    assert_eq!(
        items(body),
        [
            "type req_seconds histogram",
            "unit req_seconds seconds",
            "help req_seconds How \"long\"\n it \\ takes",
            r#"{__name__="req_seconds_bucket", le="1.0"} 2 # {trace_id="a\"b"} 0.67 Some(1520879607789)"#,
            r#"{__name__="req_seconds_bucket", le="+Inf"} 3 @1520879607500 # {} -1 None"#,
            r#"{__name__="req_seconds_count"} 3"#,
            r#"{__name__="req_seconds_created"} 1500000000"#,
            "type up stateset",
            r#"{__name__="up", up="yes"} 1 @-500"#,
            "type build info",
            r#"{__name__="build.info", v="1"} 1"#,
            "type x unknown",
            r#"{__name__="x"} NaN"#,
            "type g gaugehistogram",
            "unit g ",
        ]
    );
    assert!(items("# EOF").is_empty() && items("# EOF\n").is_empty());
}

#[test]
fn errors_are_in_the_words_of_prometheus() {
    for (body, message) in [
        ("", "data does not end with # EOF"),
        ("a 1\n", "data does not end with # EOF"),
        ("a 1", "data does not end with # EOF"),
        ("a 1 # {b=\"c\"} 4", "data does not end with # EOF"),
        ("a", r#"expected value after metric, got "a" ("EOF") while parsing: "a""#),
        ("\n# EOF\n", r#"expected a valid start token, got "\n" ("INVALID") while parsing: "\n""#),
        (" a 1\n# EOF\n", r#"expected a valid start token, got " " ("INVALID") while parsing: " ""#),
        ("9 1\n# EOF\n", r#"expected a valid start token, got "9" ("INVALID") while parsing: "9""#),
        ("# EOF\na 1\n", "unexpected data after # EOF"),
        ("# EOF\n\n", "unexpected data after # EOF"),
        (
            "# a comment\n# EOF\n",
            r##"expected a valid start token, got "# a" ("INVALID") while parsing: "# a""##,
        ),
        ("#TYPE a gauge\n", r##"expected a valid start token, got "#T" ("INVALID") while parsing: "#T""##),
        ("# TYPE a untyped\n# EOF\n", r#"invalid metric type "untyped""#),
        ("# TYPE a gauge \n# EOF\n", r#"invalid metric type "gauge ""#),
        ("# TYPE a\n# EOF\n", "expected text in TYPE"),
        ("# HELP a\n# EOF\n", "expected text in HELP"),
        ("# UNIT a\n# EOF\n", "expected text in UNIT"),
        (
            "# HELP \n# EOF\n",
            r##"expected metric name after HELP, got "\n" ("INVALID") while parsing: "# HELP \n""##,
        ),
        ("# UNIT a_seconds bytes\n# EOF\n", r#"unit "bytes" not a suffix of metric "a_seconds""#),
        ("# UNIT aseconds seconds\n# EOF\n", r#"unit "seconds" not a suffix of metric "aseconds""#),
        ("a\t1\n# EOF\n", r#"expected value after metric, got "\t" ("INVALID") while parsing: "a\t""#),
        ("a  1\n# EOF\n", r#"expected value after metric, got "  " ("INVALID") while parsing: "a  ""#),
        ("a 1\t2\n# EOF\n", r#"strconv.ParseFloat: parsing "1\t2": invalid syntax while parsing: "a 1\t2""#),
        (
            "a 1 2 \n# EOF\n",
            r#"expected next entry after timestamp, got " \n" ("INVALID") while parsing: "a 1 2 \n""#,
        ),
        (
            "a 1 2 3\n# EOF\n",
            r#"expected next entry after timestamp, got " 3\n" ("TIMESTAMP") while parsing: "a 1 2 3\n""#,
        ),
        ("a 1 NaN\n# EOF\n", "invalid timestamp NaN"),
        ("a 1 +Inf\n# EOF\n", "invalid timestamp +Inf"),
        ("a 1 # {} 1 -Inf\n# EOF\n", "invalid exemplar timestamp -Inf"),
        ("a 1 \n# EOF\n", r#"expected a valid start token, got "\n#" ("LINEBREAK") while parsing: "\n#""#),
        ("a 1 # x\n# EOF\n", r#"expected a valid start token, got "x" ("INVALID") while parsing: "x""#),
        (
            "a{b=\"c\", d=\"e\"} 1\n",
            r#"expected label name, got " " ("INVALID") while parsing: "a{b=\"c\", ""#,
        ),
        (
            "a{b=\"c\"d=\"e\"} 1\n",
            r#"expected comma or brace close, got "d=" ("LNAME") while parsing: "a{b=\"c\"d=""#,
        ),
        ("a{b=\"c\n\"} 1\n", r#"expected label value, got "\"c\n" ("INVALID") while parsing: "a{b=\"c\n""#),
        (
            "a 1 # {\"b\"} 1\n",
            r##"expected label name, got "} " ("BCLOSE") while parsing: "a 1 # {\"b\"} ""##,
        ),
        ("a 1 # {b=c} 1\n", r##"expected label value, got "c" ("INVALID") while parsing: "a 1 # {b=c""##),
        (
            "a 1 # {b=\"c\"}\n# EOF\n",
            r##"expected value after exemplar labels, got "\n" ("INVALID") while parsing: "a 1 # {b=\"c\"}\n""##,
        ),
        (
            "a 1 # {b=\"c\"} 1 2 3\n# EOF\n",
            r##"expected next entry after exemplar timestamp, got " 3\n" ("TIMESTAMP") while parsing: "a 1 # {b=\"c\"} 1 2 3\n""##,
        ),
        ("{b=\"c\"} 1\n", r#"metric name not set while parsing: "{b=\"c\"} 1""#),
    ] {
        assert_eq!(items(body).last(), Some(&format!("error: {message}")), "{body:?}");
    }
}

proptest::proptest! {
    /// A page with bytes changed or cut is read or refused, nothing else.
    #[test]
    fn damaged_pages(changes in proptest::collection::vec((0usize..400, proptest::num::u8::ANY), 0..6), cut in 0usize..400) {
        let mut body = b"# TYPE r_seconds histogram\n# UNIT r_seconds seconds\n# HELP r_seconds Help \\n text\n\
            r_seconds_bucket{le=\"1\",a=\"b\\\"c\"} 2 # {trace_id=\"a\"} 0.67 1520879607.789\n\
            r_seconds_bucket{le=\"+Inf\"} 3 1520879607.5 # {} -1\nr_seconds_created 1e9\n# EOF\n".to_vec();
        for (at, byte) in changes {
            let n = body.len();
            body[at % n] = byte;
        }
        body.truncate(cut.max(1));
        for format in [Format::Text, Format::OpenMetrics] {
            if let Err(error) = parse(&body, format, Options::default(), |_, _, _| ()) {
                proptest::prop_assert!(error.message.len() < 8192 && !error.message.is_empty());
            }
        }
    }
}
