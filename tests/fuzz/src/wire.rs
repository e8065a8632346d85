//! Bytes over the network.

use cairn_wire::exposition::{Format, Item, Options, Parser, parse};
use cairn_wire::remote_write::{self, Version, WriteLimits};

/// Every way of reading a page; in all of them times and values that come out are the same.
fn page(page: &[u8], format: Format) {
    let every = [
        Options::default(),
        Options { wants_native: true, ..Options::default() },
        Options { wants_native: true, keeps_classic: true, converts_classic: false },
        Options { wants_native: true, keeps_classic: true, converts_classic: true },
    ];
    for options in every {
        let mut n_items = 0;
        let outcome = parse(page, format, options, |_, _, _| n_items += 1);
        // What the walk says without labels and exemplars being asked for.
        let mut parser = Parser::new(page, format, options);
        let mut n_walked = 0;
        let mut is_good = true;
        while let Some(item) = parser.next() {
            is_good = item.is_ok();
            n_walked += usize::from(is_good);
            if !is_good {
                assert!(parser.next().is_none(), "something follows an error");
                break;
            }
        }
        assert!(outcome.is_err() || is_good && n_items == n_walked);
    }
}

/// A page in the text format.
pub(crate) fn text(input: &[u8]) {
    page(input, Format::Text);
    guessed(input, Format::Text);
}

/// A page in OpenMetrics.
pub(crate) fn openmetrics(input: &[u8]) {
    page(input, Format::OpenMetrics);
    guessed(input, Format::OpenMetrics);
}

/// A page in protobuf, delimited.
pub(crate) fn protobuf(input: &[u8]) {
    page(input, Format::Protobuf);
}

/// A scraper guesses the keys of a page that it has read before; that must not change what it gets.
fn guessed(input: &[u8], format: Format) {
    let options = Options::default();
    let mut keys: Vec<Vec<u8>> = Vec::new();
    let mut rows = Vec::new();
    let mut parser = Parser::new(input, format, options);
    while let Some(Ok(item)) = parser.next() {
        if let Item::Sample(sample) = &item {
            keys.push(sample.key.to_vec());
            rows.push(format!("{item:?}"));
        }
    }
    let mut parser = Parser::new(input, format, options);
    let mut again = Vec::new();
    let mut at = 0;
    loop {
        let known = keys.get(at).map(Vec::as_slice).unwrap_or_default();
        if !known.is_empty()
            && let Some(item) = parser.next_known(known.len(), |key| key == known)
        {
            let Ok(item) = item else { break };
            if let Item::Sample(_) = &item {
                again.push(format!("{item:?}"));
                at += 1;
            }
            continue;
        }
        match parser.next() {
            Some(Ok(item)) => {
                if let Item::Sample(_) = &item {
                    again.push(format!("{item:?}"));
                    at += 1;
                }
            }
            Some(Err(_)) | None => break,
        }
    }
    assert_eq!(rows, again);
}

pub(crate) fn text_seeds() -> Vec<Vec<u8>> {
    [
        "# HELP a What \\\\ it\\nmeans.\n# TYPE a counter\na{x=\"1\",y=\"q\\\"uote\\\\\\n\"} 1.5e3 1700000000000\na 0x1p-3\n",
        "# TYPE h histogram\nh_bucket{le=\"0.1\"} 1\nh_bucket{le=\"+Inf\"} 2\nh_sum NaN\nh_count 2\n",
        "{\"utf8.näme\",b=\"c\"} -Inf\n{__name__=\"x\"} +Inf\n\t \n#comment\n",
    ]
    .map(|page| page.as_bytes().to_vec())
    .to_vec()
}

pub(crate) fn openmetrics_seeds() -> Vec<Vec<u8>> {
    [
        "# TYPE a counter\n# UNIT a seconds\n# HELP a What \\\"it\\\" is.\na_total{x=\"1\"} 1.5 1700000000.123 # {trace_id=\"ab\"} 0.67 1700000000\n\
         a_created{x=\"1\"} 1699999999\n# EOF\n",
        "# TYPE h histogram\nh_bucket{le=\"0.1\"} 1 # {} 0.05\nh_bucket{le=\"+Inf\"} 2\nh_sum 3\nh_count 2\nh_created 5\n# EOF\n",
        "# TYPE s stateset\ns{s=\"a\"} 1\n# TYPE i info\ni_info{v=\"1\"} 1\n{\"u.8\"} 1\n# EOF\n",
    ]
    .map(|page| page.as_bytes().to_vec())
    .to_vec()
}

/// The first of two bytes of a LEB128 number.
fn low_seven(number: usize) -> u8 {
    number.to_le_bytes()[0] | 0x80
}

/// A field of bytes of a protobuf message; below 16 KiB.
fn field(number: u8, content: &[u8]) -> Vec<u8> {
    let len = content.len();
    let mut out = vec![number << 3 | 2, low_seven(len), (len >> 7).to_le_bytes()[0]];
    out.extend_from_slice(content);
    out
}

fn double(number: u8, value: f64) -> Vec<u8> {
    [&[number << 3 | 1], &value.to_le_bytes()[..]].concat()
}

pub(crate) fn protobuf_seeds() -> Vec<Vec<u8>> {
    let label =
        |name: &str, value: &str| field(1, &[field(1, name.as_bytes()), field(2, value.as_bytes())].concat());
    let family = |name: &str, kind: u8, metric: Vec<u8>| {
        let body = [
            field(1, name.as_bytes()),
            field(2, b"Help."),
            vec![0x18, kind],
            field(4, &metric),
            field(5, b"seconds"),
        ]
        .concat();
        let mut page = vec![low_seven(body.len()), (body.len() >> 7).to_le_bytes()[0]];
        page.extend_from_slice(&body);
        page
    };
    let exemplar = [label("trace_id", "ab"), double(2, 0.5), field(3, &[0x08, 0x05])].concat();
    let counter = field(3, &[double(1, 5.0), field(2, &exemplar), field(3, &[0x08, 0x05])].concat());
    let gauge = field(2, &double(1, -1.0));
    let bucket = |bound: f64, count: u8| field(3, &[vec![0x08, count], double(2, bound)].concat());
    let span = |offset: u8, length: u8| [0x08, offset, 0x10, length];
    let histogram = field(
        7,
        &[
            vec![0x08, 3],
            double(2, 1.5),
            bucket(0.1, 1),
            bucket(f64::INFINITY, 3),
            vec![0x28, 6],
            double(6, 0.001),
            vec![0x38, 1],
            field(12, &span(2, 2)),
            field(13, &[2, 2]),
        ]
        .concat(),
    );
    let summary = field(
        4,
        &[vec![0x08, 2], double(2, 1.0), field(3, &[double(1, 0.5), double(2, 0.7)].concat())].concat(),
    );
    let labelled = |value: Vec<u8>| [label("x", "1"), value, vec![0x30, 0x64]].concat();
    let pages = [
        family("c_total", 0, labelled(counter)),
        family("g", 1, labelled(gauge)),
        family("s", 2, labelled(summary)),
        family("h", 4, labelled(histogram)),
    ];
    let all = pages.concat();
    pages.into_iter().chain([all]).collect()
}

/// The first byte chooses the version and whether the rest is compressed.
pub(crate) fn remote_write(input: &[u8]) {
    const LIMITS: WriteLimits = WriteLimits { decompressed_bytes: 1 << 20, items: 100_000 };
    let Some((&choice, body)) = input.split_first() else { return };
    let mut plain = Vec::new();
    if choice & 1 == 0 {
        plain.extend_from_slice(body);
    } else if remote_write::decompress(body, &LIMITS, &mut plain).is_err() {
        return;
    }
    assert!(plain.len() <= LIMITS.decompressed_bytes.max(body.len()));
    let version = if choice & 2 == 0 { Version::V1 } else { Version::V2 };
    if let Ok(request) = remote_write::decode(&plain, version, &LIMITS) {
        for series in &request.series {
            let _ = request.labels(series);
        }
    }
}

pub(crate) fn remote_write_seeds() -> Vec<Vec<u8>> {
    let label =
        |name: &str, value: &str| field(1, &[field(1, name.as_bytes()), field(2, value.as_bytes())].concat());
    let sample = [double(1, 1.5), vec![0x10, 0x80, 0x89, 0x7a]].concat();
    let span = [0x08, 0x02, 0x10, 0x02];
    let histogram = [
        vec![0x08, 0x03],
        double(3, 4.5),
        vec![0x20, 0x04],
        double(5, 0.001),
        vec![0x30, 0x01],
        field(11, &span),
        field(12, &[0x02, 0x02]),
        vec![0x78, 0x64],
    ]
    .concat();
    let exemplar = [label("trace_id", "abc"), double(2, 1.0), vec![0x18, 0x64]].concat();
    let series = [
        label("__name__", "up"),
        label("job", "x"),
        field(2, &sample),
        field(3, &exemplar),
        field(4, &histogram),
    ]
    .concat();
    let metadata = [vec![0x08, 0x01], field(2, b"up"), field(4, b"Help."), field(5, b"s")].concat();
    let v1 = [field(1, &series), field(3, &metadata)].concat();

    let symbols: Vec<u8> =
        ["", "__name__", "up", "Help."].iter().flat_map(|text| field(4, text.as_bytes())).collect();
    let series = [
        field(1, &[1, 2]),
        field(2, &[double(1, 2.5), vec![0x10, 0x64, 0x18, 0x32]].concat()),
        field(3, &histogram),
        field(4, &[field(1, &[1, 2]), double(2, 1.0), vec![0x18, 0x64]].concat()),
        field(5, &[0x08, 0x01, 0x18, 0x03]),
    ]
    .concat();
    let v2 = [symbols, field(5, &series)].concat();

    let mut seeds = Vec::new();
    for (version, plain) in [(0, v1), (2, v2)] {
        let packed = snap::raw::Encoder::new().compress_vec(&plain).unwrap_or_default();
        seeds.push([&[version], &plain[..]].concat());
        seeds.push([&[version | 1], &packed[..]].concat());
    }
    seeds
}
