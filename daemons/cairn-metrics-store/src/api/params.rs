//! Parameters: query string and form, merged; times, durations and numbers as Prometheus reads them.

use std::time::Duration;

use axum::extract::{FromRequest, Request};
use axum::response::{IntoResponse, Response};
use cairn_http::body::{self, ReadBodyError};
use cairn_model::duration::{DurationError, parse_prometheus};
use cairn_model::gotext::quote;
use cairn_model::number::parse_float;
use cairn_model::time::parse_rfc3339_ms;
use cairn_model::{Matcher, TimeMs};
use http::header::CONTENT_TYPE;
use http::{Method, StatusCode};

use super::error::ApiError;
use crate::engine::MAX_QUERY_BYTES;

/// Earliest and latest time, as texts that some clients send for "all time" (Go's extremes).
const MIN_TIME: &str = "-292273086-05-16T16:47:06Z";
const MAX_TIME: &str = "292277025-08-18T07:12:54.999999999Z";

/// All parameters of a request: those of the form first, then those of the query string.
#[derive(Clone, Debug, Default)]
pub(super) struct Params(Vec<(String, String)>);

impl<S: Send + Sync> FromRequest<S> for Params {
    type Rejection = Response;

    async fn from_request(request: Request, _: &S) -> Result<Self, Response> {
        let (parts, body) = request.into_parts();
        let is_form = (parts.method == Method::POST || parts.method == Method::PUT)
            && parts
                .headers
                .get(CONTENT_TYPE)
                .and_then(|value| value.to_str().ok())
                .is_some_and(|value| value.starts_with("application/x-www-form-urlencoded"));
        let mut pairs = Vec::new();
        if is_form {
            let body = body::read(body).await.map_err(|error| match error {
                ReadBodyError::TooLarge => {
                    (StatusCode::PAYLOAD_TOO_LARGE, "request body too large\n").into_response()
                }
                ReadBodyError::Broken(_) => {
                    ApiError::bad_data("error parsing form values: the body broke off").into_response()
                }
            })?;
            pairs.extend(form_urlencoded::parse(&body).into_owned());
        }
        if let Some(query) = parts.uri.query() {
            pairs.extend(form_urlencoded::parse(query.as_bytes()).into_owned());
        }
        Ok(Self(pairs))
    }
}

impl Params {
    /// The first value of `name`; the empty text when there is none, which Prometheus takes for the same thing.
    pub(super) fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
    }

    /// Whether there is a value that is not empty.
    pub(super) fn has(&self, name: &str) -> bool {
        !self.get(name).is_empty()
    }

    /// Every value of `name`.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// A time that must be there.
    ///
    /// # Errors
    /// 400 naming the parameter.
    pub(super) fn time(&self, name: &str) -> Result<TimeMs, ApiError> {
        parse_time(self.get(name)).map_err(|reason| ApiError::param(name, reason))
    }

    /// A time that may be left out.
    ///
    /// # Errors
    /// 400 naming the parameter.
    pub(super) fn time_or(&self, name: &str, default: TimeMs) -> Result<TimeMs, ApiError> {
        if !self.has(name) {
            return Ok(default);
        }
        parse_time(self.get(name))
            .map_err(|reason| ApiError::param(name, format!("invalid time value for '{name}': {reason}")))
    }

    /// A duration in milliseconds; `None` when it is left out.
    ///
    /// # Errors
    /// 400 naming the parameter.
    pub(super) fn duration_ms(&self, name: &str) -> Result<Option<i64>, ApiError> {
        if !self.has(name) {
            return Ok(None);
        }
        parse_duration_ms(self.get(name)).map(Some).map_err(|reason| ApiError::param(name, reason))
    }

    /// `lookback_delta` in milliseconds; `None` when it is left out, or none.
    ///
    /// # Errors
    /// 400, which the peer words otherwise than for other parameters.
    pub(super) fn lookback_ms(&self) -> Result<Option<i64>, ApiError> {
        if !self.has("lookback_delta") {
            return Ok(None);
        }
        let parsed = parse_duration_ms(self.get("lookback_delta"));
        let lookback = parsed.map_err(|reason| {
            ApiError::bad_data(format!("error parsing lookback delta duration: {reason}"))
        })?;
        Ok(Some(lookback).filter(|ms| *ms > 0))
    }

    /// `timeout`; nothing is done in a negative time, as in none.
    ///
    /// # Errors
    /// 400.
    pub(super) fn timeout(&self) -> Result<Option<Duration>, ApiError> {
        let ms = self.duration_ms("timeout")?;
        Ok(ms.map(|ms| Duration::from_millis(ms.max(0).unsigned_abs())))
    }

    /// `limit`: how many results are wanted, 0 for all.
    ///
    /// # Errors
    /// 400.
    pub(super) fn limit(&self) -> Result<usize, ApiError> {
        if !self.has("limit") {
            return Ok(0);
        }
        match atoi(self.get("limit")) {
            Ok(limit) => {
                usize::try_from(limit).map_err(|_| ApiError::param("limit", "limit must be non-negative"))
            }
            Err(reason) => Err(ApiError::param("limit", reason)),
        }
    }

    /// The selectors of `match[]`, also those that select everything.
    ///
    /// # Errors
    /// What is wrong with one, as a text.
    pub(super) fn any_selectors(&self) -> Result<Vec<Vec<Matcher>>, String> {
        let bytes: usize = self.all("match[]").map(str::len).sum();
        if bytes > MAX_QUERY_BYTES {
            return Err(format!("the selectors have {bytes} bytes, at most {MAX_QUERY_BYTES} are read"));
        }
        let parsed = self.all("match[]").map(cairn_promql::parse_selector);
        parsed.collect::<Result<_, _>>().map_err(|error| error.to_string())
    }

    /// The selectors of `match[]`; each must name something.
    ///
    /// # Errors
    /// 400.
    pub(super) fn selectors(&self) -> Result<Vec<Vec<Matcher>>, ApiError> {
        let selectors = self.any_selectors().map_err(|reason| ApiError::param("match[]", reason))?;
        if selectors.iter().any(|matchers| matchers.iter().all(Matcher::matches_empty)) {
            let reason = "match[] must contain at least one non-empty matcher";
            return Err(ApiError::param("match[]", reason));
        }
        Ok(selectors)
    }
}

/// Seconds since the epoch with a fraction, or RFC 3339 from the year 0000 to 9999. (The peer takes those years too, and counts
/// wrongly where nanoseconds in 64 bits end, before 1678 and after 2262.) Rounded to milliseconds.
pub(crate) fn parse_time(text: &str) -> Result<TimeMs, String> {
    if let Some(seconds) = parse_float(text)
        && !seconds.is_nan()
    {
        return Ok(TimeMs(to_ms(seconds)));
    }
    if let Some(time) = parse_rfc3339_ms(text) {
        return Ok(time);
    }
    match text {
        MIN_TIME => Ok(TimeMs::MIN),
        MAX_TIME => Ok(TimeMs::MAX),
        _ => Err(format!("cannot parse {} to a valid timestamp", quote(text))),
    }
}

#[expect(clippy::cast_possible_truncation, reason = "a float beyond the range becomes the nearest extreme")]
fn to_ms(seconds: f64) -> i64 {
    (seconds * 1000.0).round() as i64
}

/// Seconds with a fraction, or `1h30m`.
fn parse_duration_ms(text: &str) -> Result<i64, String> {
    if let Some(seconds) = parse_float(text) {
        // Prometheus counts nanoseconds in 64 bits.
        if seconds.is_nan() || (seconds * 1e9).abs() >= 9.223_372_036_854_776e18 {
            return Err(format!("cannot parse {} to a valid duration. It overflows int64", quote(text)));
        }
        return Ok(to_ms(seconds));
    }
    parse_prometheus(text).map_err(|error: DurationError| {
        let _ = error;
        format!("cannot parse {} to a valid duration", quote(text))
    })
}

/// Go's `strconv.Atoi` with its words.
pub(crate) fn atoi(text: &str) -> Result<i64, String> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(format!("strconv.Atoi: parsing {}: invalid syntax", quote(text)));
    }
    text.parse().map_err(|_| format!("strconv.Atoi: parsing {}: value out of range", quote(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(pairs: &[(&str, &str)]) -> Params {
        Params(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    #[test]
    fn times() {
        for (text, ms) in [
            ("4", 4_000),
            ("1795225693.1851", 1_795_225_693_185),
            ("1e3", 1_000_000),
            ("2026-11-02T12:00:00Z", 1_793_620_800_000),
            ("2026-11-02T13:00:00.5+01:00", 1_793_620_800_500),
            (MAX_TIME, i64::MAX),
            ("1e30", i64::MAX),
            ("9999-12-31T23:59:59Z", 253_402_300_799_000),
            ("0000-01-01T00:00:00Z", -62_167_219_200_000),
        ] {
            assert_eq!(parse_time(text), Ok(TimeMs(ms)), "{text}");
        }
        assert_eq!(
            params(&[("time", "foo")]).time_or("time", TimeMs(0)).unwrap_err().message,
            r#"invalid parameter "time": invalid time value for 'time': cannot parse "foo" to a valid timestamp"#
        );
        assert_eq!(
            params(&[]).time("start").unwrap_err().message,
            r#"invalid parameter "start": cannot parse "" to a valid timestamp"#
        );
    }

    #[test]
    fn durations() {
        for (text, ms) in [("15", 15_000), ("0.5", 500), ("1h30m", 5_400_000), ("1m0s", 60_000)] {
            assert_eq!(parse_duration_ms(text), Ok(ms), "{text}");
        }
        assert_eq!(parse_duration_ms("x").unwrap_err(), r#"cannot parse "x" to a valid duration"#);
        assert_eq!(
            parse_duration_ms("1e300").unwrap_err(),
            r#"cannot parse "1e300" to a valid duration. It overflows int64"#
        );
    }

    #[test]
    fn limits_and_selectors() {
        assert_eq!(params(&[("limit", "40000")]).limit().unwrap(), 40_000);
        assert_eq!(
            params(&[("limit", "-1")]).limit().unwrap_err().message,
            r#"invalid parameter "limit": limit must be non-negative"#
        );
        assert_eq!(
            params(&[("limit", "x")]).limit().unwrap_err().message,
            r#"invalid parameter "limit": strconv.Atoi: parsing "x": invalid syntax"#
        );
        assert_eq!(
            params(&[("match[]", "{a=~\".*\"}")]).selectors().unwrap_err().message,
            r#"invalid parameter "match[]": match[] must contain at least one non-empty matcher"#
        );
    }
}
