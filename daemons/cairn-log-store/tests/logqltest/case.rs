//! One recorded question: shared/logqltest/README.md section 4.

use std::fs;
use std::io::Read;
use std::path::Path;

use serde_json::Value;

/// A case and the topic it belongs to.
#[derive(Debug)]
pub struct Case {
    pub topic: String,
    value: Value,
}

impl Case {
    /// A field; null when it is missing.
    pub fn get(&self, field: &str) -> &Value {
        &self.value[field]
    }

    /// A text field; empty when it is missing.
    pub fn text(&self, field: &str) -> &str {
        self.value[field].as_str().unwrap_or("")
    }

    /// A number field; zero when it is missing.
    pub fn number(&self, field: &str) -> u64 {
        self.value[field].as_u64().unwrap_or(0)
    }

    /// The first value of a request parameter.
    pub fn param(&self, name: &str) -> &str {
        self.value["params"][name].as_str().unwrap_or("")
    }

    /// Path and query string.
    pub fn target(&self) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        for (name, value) in self.value["params"].as_object().into_iter().flatten() {
            match value {
                Value::Array(list) => list.iter().for_each(|v| {
                    query.append_pair(name, v.as_str().unwrap_or(""));
                }),
                other => {
                    query.append_pair(name, &other.as_str().map_or_else(|| other.to_string(), str::to_owned));
                }
            }
        }
        let query = query.finish();
        let path = self.text("path");
        if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") }
    }

    /// The request's headers.
    pub fn headers(&self) -> Vec<(String, String)> {
        let headers = self.value["headers"].as_object().into_iter().flatten();
        headers.map(|(name, value)| (name.clone(), value.as_str().unwrap_or("").to_owned())).collect()
    }

    /// The request's body.
    pub fn body(&self) -> Option<Vec<u8>> {
        let field = |name| self.value.get(name).and_then(Value::as_str);
        if let Some(text) = field("data") {
            return Some(text.as_bytes().to_vec());
        }
        if let Some(text) = field("data_b64") {
            return Some(base64(text));
        }
        field("data_gz_b64").map(|text| gunzip(&base64(text)))
    }
}

/// All cases, topic by topic in the order of names, `push` last since it adds streams.
pub fn load(folder: &Path) -> Vec<Case> {
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|e| e == "jsonl"));
    files.sort_by_key(|path| (path.file_stem().is_some_and(|s| s == "push"), path.clone()));
    let mut cases = Vec::new();
    for path in files {
        let topic = path.file_stem().unwrap().to_string_lossy().into_owned();
        for line in fs::read_to_string(&path).unwrap().lines() {
            cases.push(Case { topic: topic.clone(), value: serde_json::from_str(line).unwrap() });
        }
    }
    cases
}

/// Unpacks gzip.
pub fn gunzip(data: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    flate2::read::GzDecoder::new(data).read_to_end(&mut out).unwrap();
    out
}

fn base64(text: &str) -> Vec<u8> {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut n_bits) = (0u32, 0);
    for byte in text.bytes().filter(|b| *b != b'=') {
        let digit = DIGITS.iter().position(|d| *d == byte).expect("the cases hold plain base64");
        bits = bits << 6 | u32::try_from(digit).unwrap();
        n_bits += 6;
        if n_bits >= 8 {
            n_bits -= 8;
            out.push(u8::try_from(bits >> n_bits & 0xff).unwrap());
        }
    }
    out
}
