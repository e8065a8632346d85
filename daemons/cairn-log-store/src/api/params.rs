//! Reading request parameters as Loki reads them: form and URL together, Go's number and time syntax, Go's words.

use cairn_logql::Direction;
use cairn_model::time::parse_rfc3339;
use cairn_model::{TimeNs, duration};

use super::error::ApiError;

/// Nanoseconds in a second.
const SECOND_NS: i64 = 1_000_000_000;
/// How far back a request without `start` and `since` looks.
const DEFAULT_SINCE_NS: i64 = 3600 * SECOND_NS;
/// How many points a range is cut into when no step is given.
const DEFAULT_POINTS: i64 = 250;
/// Most points of a series in one answer.
const MAX_POINTS: i64 = 11_000;
/// Entries in an answer when no limit is given.
const DEFAULT_LIMIT: usize = 100;

/// All parameters of one request; those of the body come first, since the first value of a name counts.
#[derive(Clone, Debug, Default)]
pub struct Params {
    pairs: Vec<(String, String)>,
}

impl Params {
    /// Collects the parameters of a form body (if there is one) and of a URL.
    pub fn parse(body: &[u8], url_query: &str) -> Self {
        let of = |bytes| form_urlencoded::parse(bytes).map(|(n, v)| (n.into_owned(), v.into_owned()));
        Self { pairs: of(body).chain(of(url_query.as_bytes())).collect() }
    }

    /// The first value of `name`; empty when it is missing, which means the same to Loki.
    pub fn get(&self, name: &str) -> &str {
        self.pairs.iter().find(|(n, _)| n == name).map_or("", |(_, value)| value)
    }

    /// Every value of `name`.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.pairs.iter().filter(move |(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// `start` and `end`, with `since` and their defaults.
    ///
    /// # Errors
    /// 400 in Loki's words when one of them cannot be read.
    pub fn bounds(&self, now: TimeNs) -> Result<(TimeNs, TimeNs), ApiError> {
        let in_words = |name: &'static str| {
            move |error: String| ApiError::bad_request(format!("could not parse '{name}' parameter: {error}"))
        };
        let since = match self.get("since") {
            "" => DEFAULT_SINCE_NS,
            text => duration::parse_prometheus(text)
                .map(|ms| ms.saturating_mul(1_000_000))
                .map_err(|error| in_words("since")(error.to_string()))?,
        };
        let end = time(self.get("end"), now).map_err(in_words("end"))?;
        let default_start = TimeNs(end.min(now).0.saturating_sub(since));
        let start = time(self.get("start"), default_start).map_err(in_words("start"))?;
        Ok((start, end))
    }

    /// `time` of an instant query; now when it is missing.
    ///
    /// # Errors
    /// 400 in Go's words.
    pub fn instant(&self, now: TimeNs) -> Result<TimeNs, ApiError> {
        time(self.get("time"), now).map_err(ApiError::bad_request)
    }

    /// `limit`: how many entries at most.
    ///
    /// # Errors
    /// 400 when it is no number or not positive.
    pub fn limit(&self) -> Result<usize, ApiError> {
        match integer(self.get("limit"), "strconv.Atoi")? {
            None => Ok(DEFAULT_LIMIT),
            Some(limit) => usize::try_from(limit)
                .ok()
                .filter(|limit| *limit > 0)
                .ok_or_else(|| ApiError::bad_request("limit must be a positive value")),
        }
    }

    /// A count that may be zero, which then means its default.
    ///
    /// # Errors
    /// 400 when it is no number or negative.
    pub fn count(&self, name: &str, default: usize) -> Result<usize, ApiError> {
        match integer(self.get(name), "strconv.Atoi")? {
            None | Some(0) => Ok(default),
            Some(value) => usize::try_from(value)
                .map_err(|_| ApiError::bad_request(format!("{name} must be a positive value"))),
        }
    }

    /// `direction`; newest first when it is missing.
    ///
    /// # Errors
    /// 400 for another word.
    pub fn direction(&self) -> Result<Direction, ApiError> {
        let text = self.get("direction");
        match text.to_ascii_lowercase().as_str() {
            "" | "backward" => Ok(Direction::Backward),
            "forward" => Ok(Direction::Forward),
            _ => Err(ApiError::bad_request(format!("invalid direction '{text}'"))),
        }
    }

    /// `step` in nanoseconds; by default a 250th of the range in whole seconds, at least one.
    ///
    /// # Errors
    /// 400 when it is no duration, not positive, or asks for more than 11,000 points.
    pub fn step(&self, start: TimeNs, end: TimeNs) -> Result<i64, ApiError> {
        let length = end.0.saturating_sub(start.0);
        let step = match self.get("step") {
            "" => (length / SECOND_NS / DEFAULT_POINTS).max(1) * SECOND_NS,
            text => seconds_or_duration(text)?,
        };
        if step <= 0 {
            return Err(ApiError::bad_request(
                "zero or negative query resolution step widths are not accepted. Try a positive integer",
            ));
        }
        if length / step > MAX_POINTS {
            return Err(ApiError::bad_request(
                "exceeded maximum resolution of 11,000 points per time series. Try increasing the value of the step \
                 parameter",
            ));
        }
        Ok(step)
    }

    /// `interval` in nanoseconds; zero when it is missing.
    ///
    /// # Errors
    /// 400 when it is no duration or negative.
    pub fn interval(&self) -> Result<i64, ApiError> {
        match self.get("interval") {
            "" => Ok(0),
            text => Some(seconds_or_duration(text)?)
                .filter(|interval| *interval >= 0)
                .ok_or_else(|| ApiError::bad_request("interval must be >= 0")),
        }
    }
}

/// Reads a time: seconds with a fraction, up to ten digits of seconds, more digits of nanoseconds, or RFC 3339.
fn time(text: &str, default: TimeNs) -> Result<TimeNs, String> {
    if text.is_empty() {
        return Ok(default);
    }
    if text.contains('.')
        && let Some(seconds) = cairn_model::number::parse_float(text)
    {
        let whole = seconds.trunc();
        let ms = ((seconds - whole) * 1000.0).round();
        #[expect(clippy::cast_possible_truncation, reason = "float to integer saturates")]
        let nanos = (whole as i64).saturating_mul(SECOND_NS).saturating_add((ms as i64) * 1_000_000);
        return Ok(TimeNs(nanos));
    }
    match go_integer(text) {
        Ok(seconds) if text.len() <= 10 => Ok(TimeNs(seconds.saturating_mul(SECOND_NS))),
        Ok(nanos) => Ok(TimeNs(nanos)),
        Err(why) => parse_rfc3339(text)
            .ok_or_else(|| format!("strconv.ParseInt: parsing {}: {why}", cairn_model::gotext::quote(text))),
    }
}

/// An optional integer, refused in the words of Go's function `function`.
fn integer(text: &str, function: &str) -> Result<Option<i64>, ApiError> {
    if text.is_empty() {
        return Ok(None);
    }
    go_integer(text).map(Some).map_err(|why| {
        ApiError::bad_request(format!("{function}: parsing {}: {why}", cairn_model::gotext::quote(text)))
    })
}

/// A decimal integer with an optional sign, or Go's word for what is wrong with it.
fn go_integer(text: &str) -> Result<i64, &'static str> {
    use std::num::IntErrorKind::{NegOverflow, PosOverflow};
    text.parse::<i64>().map_err(|error| match error.kind() {
        PosOverflow | NegOverflow => "value out of range",
        _ => "invalid syntax",
    })
}

/// `60`, `0.5`, `1m30s`, `500ms` in nanoseconds.
fn seconds_or_duration(text: &str) -> Result<i64, ApiError> {
    let quoted = || cairn_model::gotext::quote(text);
    if let Some(seconds) = cairn_model::number::parse_float(text) {
        let nanos = seconds * 1e9;
        #[expect(clippy::cast_precision_loss, reason = "only the order of magnitude matters")]
        if nanos.is_nan() || nanos.abs() >= i64::MAX as f64 {
            return Err(ApiError::bad_request(format!(
                "cannot parse {} to a valid duration. It overflows int64",
                quoted()
            )));
        }
        #[expect(clippy::cast_possible_truncation, reason = "checked above")]
        return Ok(nanos as i64);
    }
    duration::parse_prometheus(text)
        .map(|ms| ms.saturating_mul(1_000_000))
        .map_err(|_| ApiError::bad_request(format!("cannot parse {} to a valid duration", quoted())))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: TimeNs = TimeNs(1_793_620_800_000_000_000);

    fn params(url: &str) -> Params {
        Params::parse(b"", url)
    }

    #[test]
    fn times_in_every_form() {
        for (text, want) in [
            ("", NOW.0),
            ("1793616758.706", 1_793_616_758_706_000_000),
            ("1.795e9", 1_795_000_000_000_000_000),
            ("4000000000", 4_000_000_000_000_000_000),
            ("-5", -5_000_000_000),
            ("1793616758705", 1_793_616_758_705),
            ("2026-11-02T12:00:00+01:00", 1_793_617_200_000_000_000),
        ] {
            assert_eq!(time(text, NOW), Ok(TimeNs(want)), "{text}");
        }
        assert_eq!(time("abc", NOW).unwrap_err(), r#"strconv.ParseInt: parsing "abc": invalid syntax"#);
        assert_eq!(
            time("99999999999999999999", NOW).unwrap_err(),
            r#"strconv.ParseInt: parsing "99999999999999999999": value out of range"#
        );
    }

    #[test]
    fn bounds_default_to_the_last_hour() {
        let hour = 3_600_000_000_000;
        assert_eq!(params("").bounds(NOW).unwrap(), (TimeNs(NOW.0 - hour), NOW));
        assert_eq!(params("since=2h").bounds(NOW).unwrap(), (TimeNs(NOW.0 - 2 * hour), NOW));
        assert_eq!(
            params("end=1793620000").bounds(NOW).unwrap(),
            (TimeNs(1_793_616_400_000_000_000), TimeNs(1_793_620_000_000_000_000))
        );
        for (url, want) in [
            (
                "start=abc",
                r#"could not parse 'start' parameter: strconv.ParseInt: parsing "abc": invalid syntax"#,
            ),
            ("since=-1h", r#"could not parse 'since' parameter: not a valid duration string: "-1h""#),
        ] {
            assert_eq!(params(url).bounds(NOW).unwrap_err().text, want);
        }
    }

    #[test]
    fn steps_and_limits() {
        let start = TimeNs(NOW.0 - 4260 * SECOND_NS);
        for (url, want) in [("", 17), ("step=1m30s", 90), ("step=60", 60), ("step=2000ms", 2)] {
            assert_eq!(params(url).step(start, NOW).unwrap(), want * SECOND_NS, "{url}");
        }
        for (url, want) in [
            ("step=0", "zero or negative"),
            ("step=-1", "zero or negative"),
            ("step=abc", r#"cannot parse "abc" to a valid duration"#),
            ("step=0.01", "exceeded maximum resolution of 11,000 points"),
            ("step=1e300", r#"cannot parse "1e300" to a valid duration. It overflows int64"#),
        ] {
            let text = params(url).step(start, NOW).unwrap_err().text;
            assert!(text.starts_with(want), "{url}: {text}");
        }
        assert_eq!(params("").limit(), Ok(100));
        assert_eq!(params("limit=0").limit().unwrap_err().text, "limit must be a positive value");
        assert_eq!(
            params("limit=x").limit().unwrap_err().text,
            r#"strconv.Atoi: parsing "x": invalid syntax"#
        );
        assert_eq!(params("direction=FORWARD").direction(), Ok(Direction::Forward));
        assert_eq!(params("direction=x").direction().unwrap_err().text, "invalid direction 'x'");
        assert_eq!(
            params("interval=-1s").interval().unwrap_err().text,
            r#"cannot parse "-1s" to a valid duration"#
        );
    }

    #[test]
    fn a_form_comes_before_the_url() {
        let params = Params::parse(b"query=%7Ba%3D%22b%22%7D&match%5B%5D=x", "query=other&match[]=y");
        assert_eq!(params.get("query"), r#"{a="b"}"#);
        assert_eq!(params.all("match[]").collect::<Vec<_>>(), ["x", "y"]);
    }
}
