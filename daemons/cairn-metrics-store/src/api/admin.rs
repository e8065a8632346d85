//! `admin/tsdb/*`: snapshots, deleting series, cleaning up after it. All of it is off unless a flag or key allows it.

use axum::extract::State;
use axum::response::Response;
use cairn_model::{TimeMs, TimeNs};
use cairn_tsdb::Db;
use serde_json::json;

use super::App;
use super::answer::Answered;
use super::error::{ApiError, ErrorKind, no_data};
use super::params::Params;
use crate::scrape::schedule::now_ms;

/// Refuses unless the admin API is on, then does a piece of blocking work.
async fn work<T: Send + 'static>(
    app: &App,
    work: impl FnOnce(&Db, TimeMs) -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    if !app.settings().has_admin_api {
        let message = "admin APIs disabled".to_owned();
        return Err(ApiError { kind: ErrorKind::Unavailable, message });
    }
    let storage = std::sync::Arc::clone(&app.running()?.storage);
    let done = tokio::task::spawn_blocking(move || work(storage.db(), TimeMs(now_ms()))).await;
    done.map_err(|_| ApiError::internal("the work broke off; the log says where"))?
}

/// The whole chain of causes in one line, and in the log.
fn internal(what: &str, error: &(dyn std::error::Error + 'static)) -> ApiError {
    tracing::error!(error, "{what}");
    let mut message = format!("{what}: {error}");
    let mut source = error.source();
    while let Some(cause) = source {
        message.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    ApiError::internal(message)
}

/// `/api/v1/admin/tsdb/snapshot`
pub(super) async fn snapshot(State(app): State<App>, params: Params) -> Result<Answered, ApiError> {
    let skip_head = match params.get("skip_head") {
        "" | "0" | "f" | "F" | "false" | "FALSE" | "False" => false,
        "1" | "t" | "T" | "true" | "TRUE" | "True" => true,
        other => {
            let other = cairn_model::gotext::quote(other);
            let reason =
                format!("unable to parse boolean: strconv.ParseBool: parsing {other}: invalid syntax");
            // Off is off, whatever the parameters.
            work(&app, |_, _| Ok(())).await?;
            return Err(ApiError::param("skip_head", reason));
        }
    };
    let name = work(&app, move |db, now| {
        let name = snapshot_name(now);
        db.snapshot(&name, skip_head, now).map_err(|error| internal("create snapshot", &error))?;
        Ok(name)
    });
    Ok(Answered::of(&json!({ "name": name.await? })))
}

/// `20261121T012048Z-2e9df53821d6ac74`: the second, and what tells snapshots of one second apart.
fn snapshot_name(now: TimeMs) -> String {
    let rfc3339 = TimeNs(now.0.saturating_mul(1_000_000)).to_string();
    let digits: String = rfc3339.chars().take(19).filter(|c| !matches!(c, '-' | ':')).collect();
    // Keys of the standard library's hash maps: drawn by the system, good enough for a name.
    let unique = std::hash::BuildHasher::hash_one(&std::collections::hash_map::RandomState::new(), now.0);
    format!("{digits}Z-{unique:016x}")
}

/// `/api/v1/admin/tsdb/delete_series`
pub(super) async fn delete_series(State(app): State<App>, params: Params) -> Result<Response, ApiError> {
    work(&app, |_, _| Ok(())).await?;
    if params.all("match[]").next().is_none() {
        return Err(ApiError::bad_data("no match[] parameter provided"));
    }
    let start = params.time_or("start", TimeMs::MIN)?;
    let end = params.time_or("end", TimeMs::MAX)?;
    let selectors = params.selectors()?;
    work(&app, move |db, now| {
        let deleted = db.delete(&selectors, start, end, now);
        deleted.map(drop).map_err(|error| internal("delete series", &error))
    })
    .await?;
    Ok(no_data())
}

/// `/api/v1/admin/tsdb/clean_tombstones`
pub(super) async fn clean_tombstones(State(app): State<App>) -> Result<Response, ApiError> {
    work(&app, |db, now| db.clean_tombstones(now).map_err(|error| internal("clean tombstones", &error)))
        .await?;
    Ok(no_data())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_snapshots() {
        let name = snapshot_name(TimeMs(1_795_224_048_123));
        assert_eq!((name.len(), &name[..17]), (33, "20261121T012048Z-"), "{name}");
        assert_ne!(name, snapshot_name(TimeMs(1_795_224_048_123)));
    }
}
