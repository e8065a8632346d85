//! The one line that tells which address a listener got.
//!
//! Tests and `scripts/up` start daemons on port 0 and read the port from this line, so its form is fixed: message
//! `listening`, fields `addr` and `role`, in that order, at level INFO.

use std::net::SocketAddr;

/// A bound listener, as [`announce_listener`] printed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// What is served there: `http`, `grpc`, `otlp-http`, a role of the app.
    pub role: String,
    /// The address with the port that the system chose.
    pub addr: SocketAddr,
}

/// Logs that `role` is now served on `addr`: `msg=listening addr=127.0.0.1:5000 role=http`.
///
/// Call it once for each listener, after the port is bound.
pub fn announce_listener(role: &str, addr: SocketAddr) {
    tracing::info!(addr = %addr, role = %role, "listening");
}

/// Finds the announcement in one line of a daemon's standard error, in logfmt or JSON. `None`: another line.
pub fn parse_announcement(line: &str) -> Option<Announcement> {
    let is_logfmt = line.contains("msg=listening ");
    let is_json = line.contains("\"message\":\"listening\"");
    if !is_logfmt && !is_json {
        return None;
    }
    let field = |name: &str| -> Option<&str> {
        let (start, end) = if is_json {
            (format!("\"{name}\":\""), &['"'][..])
        } else {
            (format!(" {name}="), &[' ', '\n'][..])
        };
        let rest = &line[line.find(&start)? + start.len()..];
        Some(&rest[..rest.find(end).unwrap_or(rest.len())])
    };
    Some(Announcement { role: field("role")?.to_owned(), addr: field("addr")?.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_both_forms() {
        let want = Announcement { role: "http".into(), addr: "127.0.0.1:5000".parse().unwrap() };
        let logfmt = "<6>ts=2026-01-02T03:04:05Z level=info target=cairn_app msg=listening addr=127.0.0.1:5000 role=http";
        assert_eq!(parse_announcement(logfmt), Some(want.clone()));
        let json =
            r#"{"timestamp":"x","level":"INFO","message":"listening","addr":"127.0.0.1:5000","role":"http"}"#;
        assert_eq!(parse_announcement(json), Some(want));
        assert_eq!(parse_announcement("level=info msg=started addr=127.0.0.1:5000 role=http"), None);
        assert_eq!(parse_announcement("level=info msg=listening addr=nonsense role=http"), None);
    }
}
