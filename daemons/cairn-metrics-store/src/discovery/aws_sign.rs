//! AWS's signature, version 4 ("AWS API Request signatures" of the IAM user guide), for requests without a query string.
//!
//! Forty lines over `hmac` and `sha2`, checked against AWS's published examples. Its SDK for EC2 would take minutes to
//! build, and most of the rest of this program's dependencies twice.

use std::fmt::Write as _;

use cairn_http::client::secret::Secret;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// Who signs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Keys {
    pub(super) access: String,
    pub(super) secret: Secret,
    /// Of temporary credentials.
    pub(super) token: Option<Secret>,
}

/// What a signature holds for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scope<'a> {
    pub(super) region: &'a str,
    pub(super) service: &'a str,
    /// `20150830T123600Z`
    pub(super) time: &'a str,
}

impl Scope<'_> {
    fn date(&self) -> &str {
        self.time.split('T').next().unwrap_or("")
    }

    fn text(&self) -> String {
        format!("{}/{}/{}/aws4_request", self.date(), self.region, self.service)
    }
}

/// The value of `Authorization`. `headers` are those that are signed: names in small letters, sorted, with `host` and
/// `x-amz-date` among them; `path` is as it stands in the request.
pub(super) fn authorization(
    keys: &Keys,
    scope: &Scope<'_>,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> String {
    let mut canonical = format!("{method}\n{path}\n\n");
    for (name, value) in headers {
        // Writing to a string does not fail.
        let _ = writeln!(canonical, "{name}:{}", value.trim());
    }
    let names: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
    let names = names.join(";");
    let _ = write!(canonical, "\n{names}\n{}", hex(&Sha256::digest(body)));
    let scope_text = scope.text();
    let to_sign =
        format!("{ALGORITHM}\n{}\n{scope_text}\n{}", scope.time, hex(&Sha256::digest(canonical.as_bytes())));
    let signature = hex(&hmac(&signing_key(keys, scope), to_sign.as_bytes()));
    format!(
        "{ALGORITHM} Credential={}/{scope_text}, SignedHeaders={names}, Signature={signature}",
        keys.access
    )
}

fn signing_key(keys: &Keys, scope: &Scope<'_>) -> Vec<u8> {
    let secret = format!("AWS4{}", keys.secret.expose());
    let parts = [scope.date(), scope.region, scope.service, "aws4_request"];
    parts.iter().fold(secret.into_bytes(), |key, part| hmac(&key, part.as_bytes()))
}

fn hmac(key: &[u8], data: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(data);
    mac.finalize().into_bytes().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> Keys {
        Keys {
            access: "AKIDEXAMPLE".to_owned(),
            secret: Secret::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
            token: None,
        }
    }

    #[test]
    fn signing_key_of_the_documentation() {
        let scope = Scope { region: "us-east-1", service: "iam", time: "20150830T123600Z" };
        assert_eq!(
            hex(&signing_key(&keys(), &scope)),
            "c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9"
        );
    }

    /// `get-vanilla` and `post-vanilla` of the published test suite.
    #[test]
    fn published_signatures() {
        let scope = Scope { region: "us-east-1", service: "service", time: "20150830T123600Z" };
        let headers = [("host", "example.amazonaws.com"), ("x-amz-date", "20150830T123600Z")];
        for (method, signature) in [
            ("GET", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
            ("POST", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
        ] {
            assert_eq!(
                authorization(&keys(), &scope, method, "/", &headers, b""),
                format!(
                    "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
                     SignedHeaders=host;x-amz-date, Signature={signature}"
                )
            );
        }
    }
}
