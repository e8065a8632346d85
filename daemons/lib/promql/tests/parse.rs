//! Errors of the parser with their places, and what must hold for any text.

use cairn_promql::functions::FUNCTIONS;
use cairn_promql::{ParseOptions, parse, parse_selector, parse_with};
use proptest::prelude::*;

/// Asked of a running Prometheus 2.42, whose grammar is the same here.
#[test]
fn the_first_error_in_the_text_is_told_and_blamed_on_the_innermost_aggregation() {
    for (query, want) in [
        ("sum(a b)", "1:7: parse error: unexpected identifier \"b\" in aggregation"),
        // However long a name is; numbers and strings are cut.
        (
            "sum(a last_over_time)",
            "1:7: parse error: unexpected identifier \"last_over_time\" in aggregation",
        ),
        ("sum(abs(a b))", "1:11: parse error: unexpected identifier \"b\" in aggregation"),
        ("sum((a b))", "1:8: parse error: unexpected identifier \"b\" in aggregation"),
        ("sum(on)", "1:5: parse error: unexpected <on> in aggregation"),
        ("count(job='x')", "1:10: parse error: unexpected \"=\" in aggregation"),
        ("sum(a) by (b) c", "1:15: parse error: unexpected identifier \"c\""),
        ("abs(a b)", "1:7: parse error: unexpected identifier \"b\""),
        ("topk(1, *)", "1:7: parse error: trailing commas not allowed in function call args"),
        ("abs(a,,b)", "1:6: parse error: trailing commas not allowed in function call args"),
        ("sum by(x) (a,", "1:14: parse error: unclosed left parenthesis"),
        ("sum(a b", "1:7: parse error: unexpected identifier \"b\" in aggregation"),
        ("abs(a b) $", "1:7: parse error: unexpected identifier \"b\""),
        ("foo(1", "1:6: parse error: unclosed left parenthesis"),
        (")", "1:2: parse error: unexpected right parenthesis ')'"),
    ] {
        assert_eq!(parse(query).unwrap_err().to_string(), want, "{query}");
    }
    assert_eq!(parse_selector("").unwrap_err().to_string(), "1:1: parse error: unexpected end of input");
}

#[test]
fn experimental_functions_are_refused_when_off_only() {
    let off = ParseOptions { experimental_functions: false };
    for (query, want) in [
        ("1 + mad_over_time(x[5m])", "1:5: parse error: function \"mad_over_time\" is not enabled"),
        ("sort_by_label(x)", "1:1: parse error: function \"sort_by_label\" is not enabled"),
        ("Start()", "1:1: parse error: function \"Start\" is not enabled"),
        (
            "sum(limitk(1, x))",
            "1:5: parse error: limitk() is experimental and must be enabled with --enable-feature=promql-experimental-functions",
        ),
        (
            "limit_ratio by (a) (1, x)",
            "1:1: parse error: limit_ratio() is experimental and must be enabled with --enable-feature=promql-experimental-functions",
        ),
    ] {
        assert_eq!(parse_with(query, off).unwrap_err().to_string(), want);
        parse(query).unwrap();
    }
    for query in ["rate(x[5m])", "sum(x)", "topk(1, x)", "x @ start()", "x[step()]", "rate(x[5m] anchored)"] {
        parse_with(query, off).unwrap();
    }
    let n_refused = |options: ParseOptions| {
        let is_refused = |name: &str| {
            parse_with(&format!("{name}()"), options)
                .is_err_and(|error| error.message.ends_with("is not enabled"))
        };
        FUNCTIONS.iter().filter(|function| is_refused(function.name)).count()
    };
    assert_eq!(n_refused(off), 17, "as many as Prometheus 3.14 has behind the feature");
    assert_eq!(n_refused(ParseOptions::default()), 0);
}

#[test]
fn errors_are_prometheus_s_with_their_places() {
    for (query, want) in [
        ("", "unknown position: parse error: no expression found in input"),
        ("up{", "1:4: parse error: unexpected end of input inside braces"),
        ("foo(x)", "1:1: parse error: unknown function with name \"foo\""),
        ("abs(x, y)", "1:1: parse error: expected 1 argument(s) in call to \"abs\", got 2"),
        (
            "label_join(x)",
            "1:1: parse error: expected at least 3 argument(s) in call to \"label_join\", got 1",
        ),
        ("round(x, 1, 2)", "1:1: parse error: expected at most 2 argument(s) in call to \"round\", got 3"),
        ("abs(1)", "1:5: parse error: expected type instant vector in call to function \"abs\", got scalar"),
        (
            "rate(x)",
            "1:6: parse error: expected type range vector in call to function \"rate\", got instant vector",
        ),
        (
            "sum(x[5m])",
            "1:5: parse error: expected type instant vector in aggregation expression, got range vector",
        ),
        ("topk(\"a\", x)", "1:6: parse error: expected type scalar in aggregation parameter, got string"),
        ("sum()", "1:1: parse error: no arguments for aggregate expression provided"),
        (
            "sum(x, y)",
            "1:1: parse error: wrong number of arguments for aggregate expression provided, expected 1, got 2",
        ),
        ("abs(x,)", "1:6: parse error: trailing commas not allowed in function call args"),
        ("1 == 1", "1:3: parse error: comparisons between scalars must use BOOL modifier"),
        ("x + bool y", "1:3: parse error: bool modifier can only be used on comparison operators"),
        ("1 and 2", "1:1: parse error: set operator \"and\" not allowed in binary scalar expression"),
        ("a or on(x) group_left b", "1:1: parse error: no grouping allowed for \"or\" operation"),
        (
            "a + on(job) group_left(job) b",
            "1:3: parse error: label \"job\" must not occur in ON and GROUP clause at once",
        ),
        ("a + on(job) 1", "1:1: parse error: vector matching only allowed between instant vectors"),
        (
            "a[5m] + 1",
            "1:1: parse error: binary expression must contain only scalar and instant vector types",
        ),
        (
            "-\"a\"",
            "1:1: parse error: unary expression only allowed on expressions of type scalar or instant vector, got \"string\"",
        ),
        ("(a + b)[5m]", "1:1: parse error: ranges only allowed for vector selectors"),
        ("a offset 1m [5m]", "1:1: parse error: no offset modifiers allowed before range"),
        ("a @ 1 [5m]", "1:1: parse error: no @ modifiers allowed before range"),
        ("a offset 1m offset 2m", "1:1: parse error: offset may not be set multiple times"),
        (
            "1 offset 1m",
            "1:3: parse error: offset modifier must be preceded by an instant vector selector or range vector selector or a subquery",
        ),
        ("a @ 1 @ 2", "1:1: parse error: @ <timestamp> may not be set multiple times"),
        ("a @ foo", "1:5: parse error: unexpected identifier \"foo\" in @, expected timestamp"),
        ("a @ Inf", "1:5: parse error: timestamp out of bounds for @ modifier: +Inf"),
        (
            "a[5m][1h:]",
            "1:1: parse error: subquery is only allowed on instant vector, got range vector instead",
        ),
        ("a[0]", "1:3: parse error: duration must be greater than 0"),
        ("(a", "1:3: parse error: unclosed left parenthesis"),
        ("a)", "1:3: parse error: unexpected right parenthesis ')'"),
        ("{a:b}", "1:3: parse error: unexpected character inside braces: ':'"),
        ("\"abc", "1:1: parse error: unterminated quoted string"),
        ("'\\\"'", "1:1: parse error: unknown escape sequence U+0022 '\"'"),
        ("a - on(b) ignoring(c) d", "1:11: parse error: unexpected <ignoring>"),
        ("a + * b", "1:5: parse error: unexpected <op:*>"),
        ("a b", "1:3: parse error: unexpected identifier \"b\""),
        ("a +", "1:4: parse error: unexpected end of input"),
        ("up{__name__=\"x\"}", "1:1: parse error: metric name must not be set twice: \"up\" or \"x\""),
        ("{}", "1:1: parse error: vector selector must contain at least one non-empty matcher"),
        ("{x=~\".*\"}", "1:1: parse error: vector selector must contain at least one non-empty matcher"),
        (
            "{a=\"b\" or c=\"d\"}",
            "1:8: parse error: unexpected identifier \"or\" in label matching, expected \",\" or \"}\"",
        ),
        ("x{a=~\"(\"}", "1:3: parse error: error parsing regexp: missing closing ): `(`"),
        (".5m", "1:1: parse error: bad number or duration syntax: \".5m\""),
        ("1a", "1:1: parse error: bad number or duration syntax: \"1a\""),
        ("sum(\n  rate(x[5m])\n) by (", "3:7: parse error: unclosed left parenthesis"),
        ("a\n  + foo(b)", "2:5: parse error: unknown function with name \"foo\""),
    ] {
        assert_eq!(parse(query).unwrap_err().to_string(), want, "{query}");
    }
}

#[test]
fn prints_as_prometheus_prints() {
    for (query, want) in [
        (
            "sum(rate(foo[5m])) by (job)/on(job)group_left(x)bar{a='b'}",
            "sum by (job) (rate(foo[5m])) / on (job) group_left (x) bar{a=\"b\"}",
        ),
        ("-2^2", "-2 ^ 2"),
        ("010 + 0x1f + 1_000 + .5 + 1e21", "8 + 31 + 1000 + 0.5 + 1e+21"),
        ("foo[300]", "foo[5m]"),
        ("{\"foo.bar\", \"x.y\"=\"z\"}", "{\"foo.bar\",\"x.y\"=\"z\"}"),
        ("foo offset -5m @ 10.5", "foo @ 10.500 offset -5m"),
        ("rate(x[1h:] @ end() offset 1m)", "rate(x[1h:] @ end() offset 1m)"),
        ("topk by(a)(5, x)", "topk by (a) (5, x)"),
        ("a + fill_left(1) fill_right(-2) b", "a + fill_left (1) fill_right (-2) b"),
        ("increase(x[1m] smoothed)", "increase(x[1m] smoothed)"),
        ("x offset (step()*2)", "x offset (step() * 2)"),
        ("1m0s * NaN", "1m * NaN"),
        ("sum{a='b'} + avg", "sum{a=\"b\"} + avg"),
    ] {
        assert_eq!(parse(query).unwrap().to_string(), want, "{query}");
    }
}

#[test]
fn hostile_nesting_is_refused_within_a_small_stack() {
    let deep = [
        "(".repeat(100_000),
        "-".repeat(100_000) + "1",
        "abs(".repeat(50_000),
        format!("x{}", "[1h:]".repeat(50_000)),
        format!("x{}", "+x".repeat(100_000)),
        format!("x{}", "^x".repeat(100_000)),
        format!("x[{}1]", "(".repeat(100_000)),
        format!("x[1{}]", "+1".repeat(100_000)),
        format!("{}1{}", "(".repeat(140), ")".repeat(140)),
        format!("x{}", "+x".repeat(1190)),
        format!("{}x{}", "(".repeat(140), "+x)+x+x+x+x+x+x+x".repeat(140)),
    ];
    std::thread::Builder::new()
        .stack_size(1 << 20)
        .spawn(move || {
            for query in deep {
                if let Ok(expr) = parse(&query) {
                    let _ = expr.to_string();
                    let _ = expr.pretty();
                    let _ = expr.clone() == expr;
                }
            }
        })
        .unwrap()
        .join()
        .unwrap();
}

#[test]
fn a_chain_is_not_nested() {
    let chain = |n: usize| format!("x{}", " + x".repeat(n - 1));
    let printed = parse(&chain(1000)).unwrap().to_string();
    assert_eq!(printed, chain(1000));
    assert!(parse(&format!("sum(({}))[5m:1m]", chain(1000))).is_ok());
    let error = parse(&chain(1300)).unwrap_err().to_string();
    assert!(error.contains("nested deeper than 1200 levels"), "{error}");
    let error = parse(&format!("x{}", "^x".repeat(200))).unwrap_err().to_string();
    assert!(error.contains("nested deeper than 150 levels"), "{error}");
}

#[test]
fn plain_selectors_only() {
    assert_eq!(parse_selector("up{job=\"a\"}").unwrap().len(), 2);
    assert_eq!(parse_selector("{}").unwrap().len(), 0);
    for bad in ["", "up[5m]", "up offset 5m", "sum(up)", "1", "up or down"] {
        assert!(parse_selector(bad).is_err(), "{bad}");
    }
}

/// Pieces that make sense often enough for the grammar to be reached.
fn word() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec![
            "a",
            "b:c",
            "sum",
            "rate",
            "by",
            "without",
            "on",
            "ignoring",
            "group_left",
            "offset",
            "@",
            "bool",
            "fill",
            "start",
            "end",
            "step",
            "range",
            "()",
            "(",
            ")",
            "[5m]",
            "[1h:5m]",
            "[",
            "]",
            ":",
            "{",
            "}",
            "{a=\"b\"}",
            ",",
            "+",
            "-",
            "*",
            "/",
            "^",
            "%",
            "==",
            "!=",
            ">",
            "</",
            "and",
            "or",
            "unless",
            "atan2",
            "1",
            "5m",
            "1e3",
            "0x1f",
            "Inf",
            "NaN",
            "\"s\"",
            "'",
            "`",
            "#",
            "\n",
            "anchored",
            "smoothed",
            "topk(1, a)",
            "abs(a)",
            "time()",
            "min_of",
            "=~",
            "\\",
            "é",
        ])
        .prop_map(str::to_owned),
        ".{0,3}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(3000) })]

    #[test]
    fn any_text_parses_or_fails_without_panic(text in ".{0,60}") {
        let _ = parse(&text);
        let _ = parse_selector(&text);
    }

    #[test]
    fn what_parses_prints_and_parses_the_same(words in prop::collection::vec(word(), 0..14)) {
        for separator in ["", " "] {
            if let Ok(expr) = parse(&words.join(separator)) {
                let printed = expr.to_string();
                let again = parse(&printed);
                prop_assert!(again.is_ok(), "{} prints {}: {:?}", words.join(separator), printed, again);
                // Infinity is printed with its sign, as the peer does; in front of a power that reads as an operator.
                let plain = |text: String| text.replace("++Inf ^", "+Inf ^");
                prop_assert_eq!(plain(again.unwrap().to_string()), plain(printed));
            }
        }
    }
}
