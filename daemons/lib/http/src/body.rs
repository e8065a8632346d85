//! Reading a request's body within the listener's limit.

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, LengthLimitError};
use tokio::sync::{Semaphore, SemaphorePermit};

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

/// Why a body cannot be read within a [`Budget`].
#[derive(Debug, thiserror::Error)]
pub enum BudgetError {
    /// Other requests hold all the memory that there is for bodies: answer 503.
    #[error("too many request bodies under way")]
    NoRoom,
    /// As without a budget.
    #[error(transparent)]
    Body(#[from] ReadBodyError),
}

/// The memory that the bodies of requests may take together, counted as their bytes arrive: a client that announces
/// much and sends little takes little from the others.
#[derive(Debug)]
pub struct Budget(Semaphore);

impl Budget {
    /// Room for so many bytes.
    pub fn new(bytes: usize) -> Self {
        Self(Semaphore::new(bytes.min(Semaphore::MAX_PERMITS)))
    }
}

/// A body with its part of a [`Budget`], which it gives back when it is dropped.
#[derive(Debug)]
pub struct BudgetedBody<'a> {
    /// The body.
    pub bytes: Bytes,
    _room: Option<SemaphorePermit<'a>>,
}

/// [`read`], under a [`Budget`]. Does not wait for room: all who wait might hold what the others wait for.
///
/// # Errors
/// [`BudgetError`].
pub async fn read_within(mut body: Body, budget: &Budget) -> Result<BudgetedBody<'_>, BudgetError> {
    let mut read = BytesMut::new();
    let mut room: Option<SemaphorePermit<'_>> = None;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(broken)?.into_data() else { continue };
        let wanted = u32::try_from(data.len()).map_err(|_| ReadBodyError::TooLarge)?;
        let more = budget.0.try_acquire_many(wanted).map_err(|_| BudgetError::NoRoom)?;
        match &mut room {
            Some(room) => room.merge(more),
            None => room = Some(more),
        }
        read.extend_from_slice(&data);
    }
    Ok(BudgetedBody { bytes: read.freeze(), _room: room })
}

/// Reads a whole body. It is already limited to the listener's `body_bytes`.
///
/// # Errors
/// [`ReadBodyError`].
pub async fn read(body: Body) -> Result<Bytes, ReadBodyError> {
    match body.collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) => Err(broken(error)),
    }
}

fn broken(error: axum::Error) -> ReadBodyError {
    if is_length_limit(&error) { ReadBodyError::TooLarge } else { ReadBodyError::Broken(error) }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_budget_is_for_all_bodies_together() {
        let budget = Budget::new(10);
        let held = read_within(Body::from("seven b"), &budget).await.unwrap();
        assert_eq!(held.bytes, "seven b");
        assert!(matches!(read_within(Body::from("four"), &budget).await, Err(BudgetError::NoRoom)));
        assert_eq!(read_within(Body::from("two"), &budget).await.unwrap().bytes, "two");
        drop(held);
        assert_eq!(read_within(Body::from("four"), &budget).await.unwrap().bytes, "four");
        assert!(read_within(Body::empty(), &budget).await.unwrap().bytes.is_empty());
    }
}
