//! Asking an API of AWS's older kind: a signed form out, XML back.

use std::time::Duration;

use ::http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use ::http::{Request, Uri};
use bytes::Bytes;
use cairn_http::client::Client;
use cairn_model::TimeNs;
use roxmltree::{Document, Node, ParsingOptions};

use super::aws_sign::{Keys, Scope, authorization};
use super::http::with_cause;
use crate::scrape::schedule::now_ms;

const TIMEOUT: Duration = Duration::from_secs(30);
/// A page of a thousand instances is about five megabytes.
const MAX_BODY: usize = 64 << 20;
/// Elements, attributes and texts of one answer.
const MAX_NODES: u32 = 4_000_000;
const FORM: &str = "application/x-www-form-urlencoded; charset=utf-8";

/// One API of one region.
#[derive(Debug)]
pub(super) struct Api<'a> {
    pub(super) client: &'a Client,
    pub(super) endpoint: &'a str,
    pub(super) region: &'a str,
    pub(super) service: &'a str,
    pub(super) keys: &'a Keys,
}

impl Api<'_> {
    /// The text of the answer to one action.
    ///
    /// # Errors
    /// No answer, or AWS's code and message.
    pub(super) async fn ask(&self, params: &[(String, String)]) -> Result<String, String> {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(params).finish();
        let uri: Uri = self.endpoint.parse().map_err(|error| format!("{}: {error}", self.endpoint))?;
        let host = uri.authority().map_or("", |authority| authority.as_str());
        let path = if uri.path().is_empty() { "/" } else { uri.path() };
        let time = amz_time(now_ms());
        let scope = Scope { region: self.region, service: self.service, time: &time };
        let token = self.keys.token.as_ref().map(|token| token.expose());
        let mut headers = vec![("content-type", FORM), ("host", host), ("x-amz-date", &time)];
        headers.extend(token.map(|token| ("x-amz-security-token", token)));
        let signature = authorization(self.keys, &scope, "POST", path, &headers, body.as_bytes());
        let mut request = Request::post(uri.clone())
            .header(HOST, host)
            .header(CONTENT_TYPE, FORM)
            .header("x-amz-date", &time)
            .header(AUTHORIZATION, signature);
        if let Some(token) = token {
            request = request.header("x-amz-security-token", token);
        }
        let request = request.body(Bytes::from(body)).map_err(|error| error.to_string())?;
        let response =
            self.client.send(request, TIMEOUT, MAX_BODY).await.map_err(|error| with_cause(&error))?;
        let status = response.status();
        let text = String::from_utf8(response.into_body().to_vec())
            .map_err(|_| format!("{}: the answer is not UTF-8", self.endpoint))?;
        if status.is_success() {
            return Ok(text);
        }
        let said = parse(&text).ok().and_then(|document| {
            let error = document.descendants().find(|node| node.has_tag_name("Error"))?;
            let text = |name| child_text(error, name).unwrap_or("");
            Some(format!("{}: {}", text("Code"), text("Message")))
        });
        Err(format!("{} answered {status}: {}", self.endpoint, said.as_deref().unwrap_or("no reason given")))
    }
}

/// Reads an answer.
///
/// # Errors
/// It is not XML, or unreasonably large.
pub(super) fn parse(text: &str) -> Result<Document<'_>, String> {
    let options = ParsingOptions { nodes_limit: MAX_NODES, ..ParsingOptions::default() };
    Document::parse_with_options(text, options).map_err(|error| format!("bad answer: {error}"))
}

/// A child by its name, whatever its name space.
pub(super) fn child<'a, 'i>(node: Node<'a, 'i>, name: &str) -> Option<Node<'a, 'i>> {
    node.children().find(|child| child.tag_name().name() == name)
}

/// The text of a child, when there is one that is not empty.
pub(super) fn child_text<'a>(node: Node<'a, '_>, name: &str) -> Option<&'a str> {
    child(node, name).and_then(|child| child.text()).map(str::trim).filter(|text| !text.is_empty())
}

/// The entries of a list below `node`.
pub(super) fn items<'a, 'i>(node: Node<'a, 'i>, list: &str) -> impl Iterator<Item = Node<'a, 'i>> {
    let all = child(node, list).into_iter().flat_map(|list| list.children());
    all.filter(|child| child.tag_name().name() == "item")
}

/// `20150830T123600Z`
pub(super) fn amz_time(ms: i64) -> String {
    let text = TimeNs((ms / 1000).saturating_mul(1_000_000_000)).to_string();
    text.chars().filter(|c| !matches!(c, '-' | ':')).collect()
}
