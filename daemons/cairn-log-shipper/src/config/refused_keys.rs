//! Types for keys of [`super::raw`] that are known and refused: a source that is silently left out would lose lines.
//! Which keys these are stands there; which pipeline stages are refused stands in `STAGES` of [`crate::pipeline`].

use serde::de::{Deserialize, Deserializer, Error};

/// The value of a Promtail key that this build does not serve yet. Reading one fails, where it stands in the file.
#[derive(Clone, Copy, Debug)]
pub enum NotBuilt {}

impl<'de> Deserialize<'de> for NotBuilt {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Err(D::Error::custom(
            "Promtail knows this key, but cairn-log-shipper does not serve it yet; take it out, or leave this part to Promtail",
        ))
    }
}

/// The value of a Promtail key that the shipper is not going to serve.
#[derive(Clone, Copy, Debug)]
pub enum OutOfScope {}

impl<'de> Deserialize<'de> for OutOfScope {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Err(D::Error::custom("Promtail knows this key, but cairn-log-shipper does not serve such sources"))
    }
}
