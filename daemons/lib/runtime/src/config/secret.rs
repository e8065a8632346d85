//! A value that must not be printed.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Visitor};
use serde::{Serialize, Serializer};

/// What is shown in place of a secret.
const MASK: &str = "<secret>";

/// A password, token or key. `Debug` and `Serialize` give a fixed word; only [`Secret::expose`] gives the value.
///
/// An error about it does not show what stood in the file either.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a value.
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The value itself, for the place that sends it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(MASK)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_string(SecretVisitor)
    }
}

struct SecretVisitor;

/// The default of these methods puts the value into the message.
macro_rules! refuse_without_showing {
    ($($method:ident: $type:ty),*) => {
        $(fn $method<E: serde::de::Error>(self, _value: $type) -> Result<Secret, E> {
            Err(E::custom("expected a string in quotes"))
        })*
    };
}

impl Visitor<'_> for SecretVisitor {
    type Value = Secret;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Secret, E> {
        Ok(Secret::new(value))
    }

    refuse_without_showing!(visit_bool: bool, visit_i64: i64, visit_u64: u64, visit_f64: f64);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(serde::Deserialize, Debug)]
    struct Sample {
        password: Secret,
    }

    #[test]
    fn never_shown() {
        let sample: Sample = super::super::parse_toml("password = \"hush\"", "x.toml".as_ref()).unwrap();
        assert_eq!(sample.password.expose(), "hush");
        assert_eq!(format!("{sample:?}"), "Sample { password: <secret> }");
        assert_eq!(serde_json::to_string(&sample.password).unwrap(), "\"<secret>\"");
        let error = super::super::parse_toml::<Sample>("password = 4711", "x.toml".as_ref()).unwrap_err();
        assert_eq!(error.to_string(), "x.toml:1:12: password: expected a string in quotes");
    }
}
