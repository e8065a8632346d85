//! Reading a request's body within the listener's limit.

use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError};

use crate::Body;

/// Why a body cannot be read whole.
#[derive(Debug, thiserror::Error)]
pub enum ReadBodyError {
    /// It is larger than the listener (or the route) allows: answer 413.
    #[error("request body too large")]
    TooLarge,
    /// The client went away or sent something broken: answer 400.
    #[error("read request body")]
    Broken(#[source] axum::Error),
}

/// Reads a whole body. It is already limited to the listener's `body_bytes`.
///
/// # Errors
/// [`ReadBodyError`].
pub async fn read(body: Body) -> Result<Bytes, ReadBodyError> {
    match body.collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if is_length_limit(&error) => Err(ReadBodyError::TooLarge),
        Err(error) => Err(ReadBodyError::Broken(error)),
    }
}

fn is_length_limit(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut current = Some(error);
    while let Some(error) = current {
        if error.is::<LengthLimitError>() {
            return true;
        }
        current = error.source();
    }
    false
}
