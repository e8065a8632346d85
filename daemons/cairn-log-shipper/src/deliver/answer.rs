//! What a store's answer means for the lines of a request. Status codes are judged here and nowhere else.

use std::time::Duration;

use bytes::Bytes;
use cairn_http::client::ClientError;
use http::header::RETRY_AFTER;
use http::{Response, StatusCode};

/// Longest pause that a store may ask for; one that asks for a day has lost its mind.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(300);
/// Bytes of the answer's first line that are kept for the log. Stores answer with label sets and limits, never with
/// the lines themselves.
const MAX_COMPLAINT_BYTES: usize = 256;

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The request was taken, but for so many lines.
    Stored { dropped: usize },
    /// Try again, not before so long.
    Retry { after: Option<Duration>, is_rate_limit: bool },
    /// Send less at once.
    TooLarge,
    /// It will never be taken.
    Refused,
}

/// Judges an answer to a request of `n_lines`. The second part is what to tell people, if anything is wrong.
pub(super) fn judge(
    answered: &Result<Response<Bytes>, ClientError>,
    n_lines: usize,
) -> (Verdict, Option<String>) {
    let unread;
    let answer = match answered {
        Ok(answer) => answer,
        // The status has come, and says what became of the lines; only its words cannot be read. To ask for them again
        // and again would hold up everything behind this batch.
        Err(ClientError::TooLarge { status, .. } | ClientError::Decode { status, .. }) => {
            let mut response = Response::new(Bytes::from_static(b"(the text of the answer cannot be read)"));
            *response.status_mut() = *status;
            unread = response;
            &unread
        }
        Err(error) => {
            let mut text = error.to_string();
            let mut source = std::error::Error::source(error);
            while let Some(cause) = source {
                text = format!("{text}: {cause}");
                source = cause.source();
            }
            return (Verdict::Retry { after: None, is_rate_limit: false }, Some(text));
        }
    };
    let status = answer.status();
    if status.is_success() {
        return (Verdict::Stored { dropped: 0 }, None);
    }
    let complaint = format!("{status}: {}", first_line(answer.body()));
    let verdict = match status {
        StatusCode::TOO_MANY_REQUESTS => Verdict::Retry { after: retry_after(answer), is_rate_limit: true },
        status if status.is_server_error() => {
            Verdict::Retry { after: retry_after(answer), is_rate_limit: false }
        }
        StatusCode::PAYLOAD_TOO_LARGE => Verdict::TooLarge,
        // Some lines may have been stored: then the answer says how many were not.
        StatusCode::BAD_REQUEST => match ignored(answer.body()) {
            Some(dropped) if dropped < n_lines => Verdict::Stored { dropped },
            _ => Verdict::Refused,
        },
        _ => Verdict::Refused,
    };
    (verdict, Some(complaint))
}

fn retry_after(answer: &Response<Bytes>) -> Option<Duration> {
    let seconds: u64 = answer.headers().get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(MAX_RETRY_AFTER))
}

/// The sum of `total ignored: 2 out of 3`, which Loki says once per stream.
fn ignored(body: &[u8]) -> Option<usize> {
    let text = std::str::from_utf8(body).ok()?;
    let mut sum = None;
    for (_, rest) in text.match_indices("total ignored: ").map(|(at, found)| text.split_at(at + found.len()))
    {
        let number = rest.split(' ').next()?.parse::<usize>().ok()?;
        sum = Some(sum.unwrap_or(0usize).saturating_add(number));
    }
    sum
}

fn first_line(body: &[u8]) -> String {
    let line = body.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = &line[..line.len().min(MAX_COMPLAINT_BYTES)];
    String::from_utf8_lossy(line).chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(status: u16, headers: &[(&str, &str)], body: &str, want: Verdict) {
        let mut response = Response::builder().status(status);
        for (name, value) in headers {
            response = response.header(*name, *value);
        }
        let (verdict, complaint) =
            judge(&Ok(response.body(Bytes::copy_from_slice(body.as_bytes())).unwrap()), 10);
        assert_eq!(verdict, want, "{status} {body}");
        assert_eq!(complaint.is_none(), status < 300);
    }

    #[test]
    fn statuses() {
        let retry = |after, is_rate_limit| Verdict::Retry { after, is_rate_limit };
        check(204, &[], "", Verdict::Stored { dropped: 0 });
        check(200, &[], "", Verdict::Stored { dropped: 0 });
        check(429, &[], "slow down", retry(None, true));
        check(503, &[("Retry-After", "7")], "", retry(Some(Duration::from_secs(7)), false));
        check(500, &[("Retry-After", "99999")], "", retry(Some(MAX_RETRY_AFTER), false));
        check(413, &[], "", Verdict::TooLarge);
        check(400, &[], "couldn't parse labels", Verdict::Refused);
        check(404, &[], "", Verdict::Refused);
        let partial = "entry ... ignored,\nuser 'fake', total ignored: 2 out of 3 for stream: {a=\"b\"}\nuser 'fake', total ignored: 1 out of 7 for stream: {c=\"d\"}";
        check(400, &[], partial, Verdict::Stored { dropped: 3 });
        check(400, &[], "total ignored: 10 out of 10", Verdict::Refused);
    }

    #[test]
    fn an_answer_whose_text_cannot_be_read_is_judged_by_its_status() {
        for (status, want) in [
            (StatusCode::OK, Verdict::Stored { dropped: 0 }),
            (StatusCode::BAD_REQUEST, Verdict::Refused),
            (StatusCode::BAD_GATEWAY, Verdict::Retry { after: None, is_rate_limit: false }),
        ] {
            let too_large = ClientError::TooLarge { url: "http://store/".to_owned(), status, limit: 1 };
            assert_eq!(judge(&Err(too_large), 10).0, want);
            let reason = "unknown encoding".to_owned();
            let garbled = ClientError::Decode { url: "http://store/".to_owned(), status, reason };
            assert_eq!(judge(&Err(garbled), 10).0, want);
        }
    }
}
