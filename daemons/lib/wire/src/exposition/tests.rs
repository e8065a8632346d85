use super::*;

fn samples(body: &str) -> Vec<(String, f64, Option<i64>)> {
    Parser::new(body.as_bytes())
        .filter_map(|item| match item.unwrap() {
            Item::Sample(sample) => {
                Some((sample.labels().unwrap().to_string(), sample.value, sample.timestamp))
            }
            _ => None,
        })
        .collect()
}

/// The first error of a body, of a line or of a series text.
fn error(body: &[u8]) -> ExpositionError {
    for item in Parser::new(body) {
        match item {
            Err(error) => return error,
            Ok(Item::Sample(sample)) => {
                if let Err(error) = sample.labels() {
                    return error;
                }
            }
            Ok(_) => {}
        }
    }
    panic!("no error in {}", String::from_utf8_lossy(body));
}

#[test]
fn reads_a_page() {
    let body = "# HELP http_requests_total Requests, by \\\"code\\\" \\\\ line\\nbreak.\n\
                # TYPE http_requests_total counter\n\
                http_requests_total{method=\"post\",code=\"200\",} 1027 1395066363000\n\
                \n\
                # a comment\n\
                #TYPE is not one\n\
                \t msdos_path { a = \"C:\\\\DIR \\\"x\\\"\\nnext\" , b=\"}{\" }\t+Inf\n\
                rpc:rate -1.5e-3";
    let items: Vec<_> = Parser::new(body.as_bytes()).collect::<Result<_, _>>().unwrap();
    assert!(matches!(&items[0], Item::Help { name, text }
        if name == "http_requests_total" && text == "Requests, by \\\"code\\\" \\ line\nbreak."));
    assert!(
        matches!(&items[1], Item::Type { name, kind: MetricKind::Counter } if name == "http_requests_total")
    );
    let Item::Sample(sample) = &items[2] else { panic!() };
    assert_eq!(sample.series, b"http_requests_total{method=\"post\",code=\"200\",}");
    assert_eq!(sample.line(), 3);
    assert_eq!(
        samples(body),
        [
            (
                r#"{__name__="http_requests_total", code="200", method="post"}"#.to_owned(),
                1027.0,
                Some(1_395_066_363_000)
            ),
            (r#"{__name__="msdos_path", a="C:\\DIR \"x\"\nnext", b="}{"}"#.to_owned(), f64::INFINITY, None),
            (r#"{__name__="rpc:rate"}"#.to_owned(), -0.0015, None),
        ]
    );
}

#[test]
fn quoted_names_and_raw_line_breaks() {
    assert_eq!(
        samples(
            "{\"my.metric\",\"a b\"=\"1\"} 1\nx{y=\"a\nb\"} 2\n{__name__=\"z\"} 3\n# TYPE \"my.metric\" gauge\n"
        ),
        [
            (r#"{__name__="my.metric", a b="1"}"#.to_owned(), 1.0, None),
            (r#"{__name__="x", y="a\nb"}"#.to_owned(), 2.0, None),
            (r#"{__name__="z"}"#.to_owned(), 3.0, None),
        ]
    );
}

#[test]
fn bucket_bounds_and_quantiles_are_spelled_as_floats() {
    let body = "# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 1\nh_bucket{le=\"0.5\"} 1\n\
                h_bucket{le=\"1000000\"} 1\nh_bucket{le=\"0.00001\"} 1\nh_bucket{le=\"x\"} 1\nh_bucket{quantile=\"1\"} 1\n\
                # TYPE s summary\ns{quantile=\"0\"} 1\ns{le=\"1\"} 1\n";
    let values: Vec<String> = samples(body)
        .iter()
        .map(|(labels, ..)| labels.split_once(", ").unwrap().1.trim_end_matches('}').to_owned())
        .collect();
    assert_eq!(
        values,
        [
            r#"le="1.0""#,
            r#"le="+Inf""#,
            r#"le="0.5""#,
            r#"le="1e+06""#,
            r#"le="1e-05""#,
            r#"le="x""#,
            r#"quantile="1""#,
            r#"quantile="0.0""#,
            r#"le="1""#
        ]
    );
}

#[test]
fn every_nan_becomes_the_same_one() {
    for body in ["a NaN", "a nan", "a NAN"] {
        assert_eq!(samples(body)[0].1.to_bits(), NORMAL_NAN);
    }
}

#[test]
fn errors_are_in_the_words_of_prometheus() {
    for (body, line, message) in [
        (&b"a\n"[..], 1, r#"expected value after metric, got "\n" ("LINEBREAK") while parsing: "a\n""#),
        (b"b 1\na{b='c'} 1\n", 2, r#"expected label value, got "'" ("INVALID") while parsing: "a{b='""#),
        (b"a{b=\n", 1, r#"expected label value, got "\n" ("INVALID") while parsing: "a{b=\n""#),
        (b"a{\xff=\"foo\"} 1\n", 1, r#"expected label name, got "\xff" ("INVALID") while parsing: "a{\xff""#),
        (b"a{b=\"\xff\"} 1\n", 1, r#"invalid UTF-8 label value: "\"\xff\"""#),
        (b"a true\n", 1, r#"strconv.ParseFloat: parsing "true": invalid syntax while parsing: "a true""#),
        (
            b"a 1e999\n",
            1,
            r#"strconv.ParseFloat: parsing "1e999": value out of range while parsing: "a 1e999""#,
        ),
        (b"foo 1_2\n", 1, r#"unsupported character in float while parsing: "foo 1_2""#),
        (b"foo 0x1p-3\n", 1, r#"unsupported character in float while parsing: "foo 0x1p-3""#),
        (
            b"foo 0 1_2\n",
            1,
            r#"expected next entry after timestamp, got "_" ("INVALID") while parsing: "foo 0 1_""#,
        ),
        (
            b"foo 0 -1\n",
            1,
            r#"expected timestamp or new record, got "-" ("INVALID") while parsing: "foo 0 -""#,
        ),
        (b"{a=\"ok\"} 1", 1, r#"metric name not set while parsing: "{a=\"ok\"}""#),
        (b"# TYPE x foo\n", 1, r#"invalid metric type "foo""#),
        (
            b"# TYPE #\n",
            1,
            r##"expected metric name after TYPE, got "#" ("INVALID") while parsing: "# TYPE #""##,
        ),
        (b"a{b=\"1\",b=\"2\"} 1", 1, r#"label name "b" is not unique: invalid sample"#),
        (b"w{p=\"", 1, r#"expected label value, got "\"\n" ("INVALID") while parsing: "w{p=\"\n""#),
        (b"<html>", 1, r#"expected a valid start token, got "<" ("INVALID") while parsing: "<""#),
    ] {
        let error = error(body);
        assert_eq!(
            (error.line, error.message.as_str()),
            (line, message),
            "{}",
            String::from_utf8_lossy(body)
        );
    }
}

#[test]
fn nothing_follows_an_error() {
    let mut parser = Parser::new(b"a 1\n<oops>\nb 2\n");
    assert!(parser.next().unwrap().is_ok());
    assert!(parser.next().unwrap().is_err());
    assert!(parser.next().is_none());
}

#[test]
fn a_hostile_line_does_not_make_a_hostile_message() {
    let mut body = b"x{".to_vec();
    body.resize(1 << 20, b'"');
    assert!(error(&body).message.len() < 8192);
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_it_panic(body in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
        for item in Parser::new(&body) {
            if let Ok(Item::Sample(sample)) = item {
                let _ = sample.labels();
            }
        }
    }

    #[test]
    fn no_text_of_its_own_letters_makes_it_panic(body in "[a{}\",=#\\\\n TYPEHL1\n\t.é-]{0,80}") {
        for item in Parser::new(body.as_bytes()) {
            if let Ok(Item::Sample(sample)) = item {
                let _ = sample.labels();
            }
        }
    }

    #[test]
    fn what_is_written_is_read(value in proptest::num::f64::NORMAL | proptest::num::f64::ZERO,
                               label in "[^\u{0}]{1,12}", time in 0..i64::MAX) {
        let escaped = label.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        let body = format!("m{{l=\"{escaped}\"}} {value} {time}\n");
        let want = Labels::from_pairs([("__name__", "m"), ("l", label.as_str())]).to_string();
        proptest::prop_assert_eq!(samples(&body), [(want, value, Some(time))]);
    }
}
