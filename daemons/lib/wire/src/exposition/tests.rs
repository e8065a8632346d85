use super::*;

/// A sample as a test compares it.
type Plain = (String, f64, Option<i64>);

fn samples(body: &str) -> Vec<Plain> {
    samples_of(body.as_bytes(), Format::Text).unwrap()
}

fn samples_of(body: &[u8], format: Format) -> Result<Vec<Plain>, ExpositionError> {
    let mut all = Vec::new();
    parse(body, format, Options::default(), |item, labels, _| {
        if let (Item::Sample(sample), Some(labels)) = (item, labels) {
            let Value::Float(value) = sample.value else { panic!("a histogram in text") };
            all.push((labels.to_string(), value, sample.timestamp));
        }
    })?;
    Ok(all)
}

/// Walks a page in its order as a scraper does that has seen it before: guessing each key.
fn samples_guessed(body: &[u8], format: Format, guesses: &[&[u8]]) -> Result<Vec<Plain>, String> {
    let mut parser = Parser::new(body, format, Options::default());
    let mut guesses = guesses.iter().copied();
    let mut all = Vec::new();
    let mut guess = guesses.next();
    loop {
        let is_known = guess.is_some_and(|key| {
            let mut copy = parser_copy(&parser);
            matches!(copy.next_known(key.len(), |text| text == key), Some(Ok(_)))
        });
        let item = match (is_known, guess) {
            (true, Some(key)) => parser.next_known(key.len(), |text| text == key),
            _ => parser.next(),
        };
        let Some(item) = item else { return Ok(all) };
        if let Item::Sample(sample) = item.map_err(|error| error.message)? {
            let Value::Float(value) = sample.value else { panic!("a histogram in text") };
            if guess == Some(sample.key) {
                guess = guesses.next();
            }
            all.push((sample.labels()?.to_string(), value, sample.timestamp));
        }
    }
}

fn parser_copy<'a>(parser: &Parser<'a>) -> Parser<'a> {
    match &parser.0 {
        Walk::Lines(lines) => Parser(Walk::Lines(lines.clone())),
        Walk::Protobuf(_) => panic!("only text is guessed"),
    }
}

/// The first error of a body, of a line or of a series text.
fn error(body: &[u8]) -> ExpositionError {
    samples_of(body, Format::Text).expect_err(&String::from_utf8_lossy(body))
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
    let mut metadata = Vec::new();
    parse(body.as_bytes(), Format::Text, Options::default(), |item, _, _| match item {
        Item::Help { name, text } => metadata.push(format!("{name}: {text}")),
        Item::Type { name, metric_type } => metadata.push(format!("{name} {metric_type}")),
        _ => {}
    })
    .unwrap();
    assert_eq!(
        metadata,
        ["http_requests_total: Requests, by \\\"code\\\" \\ line\nbreak.", "http_requests_total counter"]
    );
    let mut parser = Parser::new(body.as_bytes(), Format::Text, Options::default());
    parser.next();
    parser.next();
    let Some(Ok(Item::Sample(sample))) = parser.next() else { panic!() };
    assert_eq!(sample.key, b"http_requests_total{method=\"post\",code=\"200\",}");
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
            "{\"my.metric\",\"a b\"=\"1\"} 1\nx{y=\"a\nb\"} 2\nx{y=\"1\" z=\"2\"}3\n# TYPE \"my.metric\" gauge\n"
        ),
        [
            (r#"{__name__="my.metric", a b="1"}"#.to_owned(), 1.0, None),
            (r#"{__name__="x", y="a\nb"}"#.to_owned(), 2.0, None),
            (r#"{__name__="x", y="1", z="2"}"#.to_owned(), 3.0, None),
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
        assert_eq!(samples(body)[0].1.to_bits(), number::NORMAL_NAN);
    }
}

#[test]
fn errors_are_in_the_words_of_prometheus() {
    for (body, offset, message) in [
        (&b"a\n"[..], 0, r#"expected value after metric, got "\n" ("INVALID") while parsing: "a\n""#),
        (b"a", 0, r#"expected value after metric, got "\n" ("INVALID") while parsing: "a\n""#),
        (b"b 1\na{b='c'} 1\n", 4, r#"expected label value, got "'" ("INVALID") while parsing: "a{b='""#),
        (b"a{b=\n", 0, r#"expected label value, got "\n" ("INVALID") while parsing: "a{b=\n""#),
        (b"a{=\"c\"} 1\n", 0, r#"expected label name, got "=\"" ("EQUAL") while parsing: "a{=\"""#),
        (b"a{b c=\"d\"} 1\n", 0, r#"expected equal, got "c=" ("LNAME") while parsing: "a{b c=""#),
        (b"a{b}1\n", 0, r#"expected equal, got "}1" ("BCLOSE") while parsing: "a{b}1""#),
        (b"{\"a\",\"b\"} 1\n", 0, r#"metric name already set while parsing: "{\"a\",\"b\"}""#),
        (b"a{\"b\"} 1\n", 0, r#"metric name already set while parsing: "a{\"b\"}""#),
        (b"a{b=\"c\",,} 1\n", 0, r#"expected label name, got ",}" ("COMMA") while parsing: "a{b=\"c\",,}""#),
        (b"a{\xff=\"foo\"} 1\n", 0, r#"expected label name, got "\xff" ("INVALID") while parsing: "a{\xff""#),
        (b"a{b=\"\xff\"} 1\n", 0, r#"invalid UTF-8 label value: "\"\xff\"""#),
        (b"a true\n", 0, r#"strconv.ParseFloat: parsing "true": invalid syntax while parsing: "a true""#),
        (
            b"a 1e999\n",
            0,
            r#"strconv.ParseFloat: parsing "1e999": value out of range while parsing: "a 1e999""#,
        ),
        (b"foo 1_2\n", 0, r#"unsupported character in float while parsing: "foo 1_2""#),
        (b"foo 0x1p-3\n", 0, r#"unsupported character in float while parsing: "foo 0x1p-3""#),
        (
            b"foo 0 1_2\n",
            0,
            r#"expected next entry after timestamp, got "_" ("INVALID") while parsing: "foo 0 1_""#,
        ),
        (
            b"foo 0 1 2\n",
            0,
            r#"expected next entry after timestamp, got "2\n" ("TIMESTAMP") while parsing: "foo 0 1 2\n""#,
        ),
        (
            b"foo 0 -1\n",
            0,
            r#"expected timestamp or new record, got "-" ("INVALID") while parsing: "foo 0 -""#,
        ),
        (
            b"foo 0 99999999999999999999\n",
            0,
            r#"strconv.ParseInt: parsing "99999999999999999999": value out of range while parsing: "foo 0 99999999999999999999""#,
        ),
        (b"a{}{} 1\n", 0, r#"expected value after metric, got "{}" ("BOPEN") while parsing: "a{}{}""#),
        (b"{a=\"ok\"} 1", 0, r#"metric name not set while parsing: "{a=\"ok\"} 1""#),
        (b"{__name__=\"ok\"} 1", 0, r#"metric name not set while parsing: "{__name__=\"ok\"} 1""#),
        (b"a{__name__=\"ok\"} 1", 0, r#"label name "__name__" is not unique: invalid sample"#),
        (b"# TYPE x foo\n", 0, r#"invalid metric type "foo""#),
        (b"# TYPE x  gauge\n", 0, r#"invalid metric type " gauge""#),
        (b"# TYPE x gauge \n", 0, r#"invalid metric type "gauge ""#),
        (b"# TYPE x\n", 0, r#"invalid metric type """#),
        (b"# TYPE x info\n", 0, r#"invalid metric type "info""#),
        (b"# HELP x \xff\n", 0, r#"help text "\xff" is not a valid utf8 string"#),
        (
            b"# TYPE #\n",
            0,
            r##"expected metric name after TYPE, got "#" ("INVALID") while parsing: "# TYPE #""##,
        ),
        (b"a{b=\"1\",b=\"2\"} 1", 0, r#"label name "b" is not unique: invalid sample"#),
        (b"w{p=\"", 0, r#"expected label value, got "\"\n" ("INVALID") while parsing: "w{p=\"\n""#),
        (b"<html>", 0, r#"expected a valid start token, got "<" ("INVALID") while parsing: "<""#),
        (b"{\"\xff\"} 1\n", 0, r#"invalid metric name or label names: "{\"\xff\"}""#),
    ] {
        let error = error(body);
        let shown = String::from_utf8_lossy(body);
        assert_eq!(error.message, message, "{shown}");
        assert!(error.offset == offset || message.contains("unique"), "{shown}");
    }
}

#[test]
fn what_is_forgiven() {
    for (body, want) in [
        ("a 1", r#"{__name__="a"}"#),
        ("a{b=\"c\",} 1\n", r#"{__name__="a", b="c"}"#),
        ("a{b=\"c\" d=\"e\"} 1\n", r#"{__name__="a", b="c", d="e"}"#),
        ("a { b = \"c\" } 1\n", r#"{__name__="a", b="c"}"#),
        ("a{b=\"c\"}1\n", r#"{__name__="a", b="c"}"#),
        ("\t a\t1\t5\t\n", r#"{__name__="a"}"#),
        ("#\n#x\n# x\n# HELP\n# TYPEx y z\na 1\n", r#"{__name__="a"}"#),
        ("# HELP a\na 1\n", r#"{__name__="a"}"#),
        ("\n\n\na +Inf\n\n", r#"{__name__="a"}"#),
        ("a{b=\"\"} 1\n", r#"{__name__="a"}"#),
        ("a 1\n\0anything", r#"{__name__="a"}"#),
    ] {
        let got: Vec<String> = samples(body).into_iter().map(|(labels, ..)| labels).collect();
        assert_eq!(got, [want], "{body:?}");
    }
}

#[test]
fn a_guess_reads_the_same_as_a_look() {
    let body = b"# TYPE a gauge\na 1\nabc 2 7\nab {x=\"}\"} 3\nab 4\na{x=\"1\"} NaN\na{x=\"1\",y=\"2\"}\t-5e-3 \nlast 6";
    let keys: [&[u8]; 7] =
        [b"a", b"abc", b"ab {x=\"}\"}", b"ab", b"a{x=\"1\"}", b"a{x=\"1\",y=\"2\"}", b"last"];
    let show = |samples: Vec<Plain>| format!("{samples:?}");
    let want = show(samples_of(body, Format::Text).unwrap());
    assert_eq!(show(samples_guessed(body, Format::Text, &keys).unwrap()), want);
    for wrong in [&b"a"[..], b"ab", b"", b"#", b"a{x=\"1\"}", b"# TYPE a gauge"] {
        assert_eq!(show(samples_guessed(body, Format::Text, &[wrong; 9]).unwrap()), want, "{wrong:?}");
    }
    let mut parser = Parser::new(b"a 1 x\n", Format::Text, Options::default());
    let error = parser.next_known(1, |_| true).unwrap().unwrap_err();
    assert_eq!(
        error.message,
        r#"expected timestamp or new record, got "x" ("INVALID") while parsing: "a 1 x""#
    );
    assert!(parser.next().is_none() && parser.next_known(1, |_| true).is_none());
}

#[test]
fn nothing_follows_an_error() {
    let mut parser = Parser::new(b"a 1\n<oops>\nb 2\n", Format::Text, Options::default());
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
        for format in Format::ALL {
            let all = Options { wants_native: true, keeps_classic: true, converts_classic: true };
            let _ = parse(&body, format, all, |_, _, _| ());
        }
    }

    #[test]
    fn no_text_of_its_own_letters_makes_it_panic(body in "[a{}\",=#\\\\n TYPEHL1\n\t.é-]{0,80}") {
        for format in [Format::Text, Format::OpenMetrics] {
            let _ = parse(body.as_bytes(), format, Options::default(), |_, _, _| ());
        }
    }

    /// Whatever is guessed, the page says the same.
    #[test]
    fn guesses_change_nothing(
        body in "(a|ab|\\{\"a\"\\}|ab \\{b=\"c\"\\}|a\\{b=\"}\"\\})( |  |\t)(1|2e3|x|-5|\\{)( 7| |)\n{0,2}(# EOF\n)?(a 1\n)?",
        guesses in proptest::collection::vec("a|ab|\\{\"a\"\\}|ab \\{b=\"c\"\\}|a\\{b=\"}\"\\}", 0..4),
    ) {
        for format in [Format::Text, Format::OpenMetrics] {
            // A key with a blank is none that OpenMetrics hands out.
            let is_key = |key: &&String| format == Format::Text || !key.contains(' ');
            let guesses: Vec<&[u8]> = guesses.iter().filter(is_key).map(String::as_bytes).collect();
            let want = samples_of(body.as_bytes(), format).map_err(|error| error.message);
            let got = samples_guessed(body.as_bytes(), format, &guesses);
            proptest::prop_assert_eq!(format!("{:?}", got), format!("{:?}", want));
        }
    }

    #[test]
    fn what_is_written_is_read(value in proptest::num::f64::NORMAL | proptest::num::f64::ZERO,
                               label in "[^\u{0}]{1,12}", time in 0..i64::MAX) {
        let escaped = label.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        let want = Labels::from_pairs([("__name__", "m"), ("l", label.as_str())]).to_string();
        let body = format!("m{{l=\"{escaped}\"}} {value} {time}\n");
        proptest::prop_assert_eq!(samples(&body), [(want.clone(), value, Some(time))]);
        let body = format!("m{{l=\"{escaped}\"}} {value}\n# EOF\n");
        let read = samples_of(body.as_bytes(), Format::OpenMetrics).unwrap();
        proptest::prop_assert_eq!(read, [(want, value, None)]);
    }
}
