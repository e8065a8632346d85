//! Whose logs a request is about: the header `X-Scope-OrgID`.

use http::HeaderMap;

/// The tenant of a store without authentication, under the name that Loki uses and prints.
pub const SINGLE_TENANT: &str = "fake";
/// The header that names the tenant.
pub const TENANT_HEADER: &str = "X-Scope-OrgID";
/// Longest tenant name.
const MAX_TENANT_BYTES: usize = 150;

/// Why a request has no tenant. Texts are Loki's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TenantError {
    /// No header, or an empty one.
    #[error("no org id")]
    Missing,
    /// `a|b` where one tenant is wanted.
    #[error("multiple org IDs present")]
    Several,
    /// A character that is not allowed.
    #[error("tenant ID '{tenant}' contains unsupported character '{character}'")]
    Character {
        /// The header's text.
        tenant: String,
        /// The first such character.
        character: char,
    },
    /// `.` or `..`, which would name a directory.
    #[error("tenant ID is '.' or '..'")]
    Dots,
    /// More than 150 bytes.
    #[error("tenant ID is too long: max {MAX_TENANT_BYTES} characters")]
    TooLong,
}

/// Reads the tenant of a request.
///
/// # Errors
/// [`TenantError`], only when authentication is on.
pub fn tenant(auth_enabled: bool, headers: &HeaderMap) -> Result<String, TenantError> {
    if !auth_enabled {
        return Ok(SINGLE_TENANT.to_owned());
    }
    let text = headers.get(TENANT_HEADER).map(|value| String::from_utf8_lossy(value.as_bytes()));
    let text = text.filter(|text| !text.is_empty()).ok_or(TenantError::Missing)?;
    if text.contains('|') {
        return Err(TenantError::Several);
    }
    check(&text)?;
    Ok(text.into_owned())
}

fn check(text: &str) -> Result<(), TenantError> {
    if let Some(character) = text.chars().find(|c| !c.is_ascii_alphanumeric() && !"!-_.*'()".contains(*c)) {
        return Err(TenantError::Character { tenant: text.to_owned(), character });
    }
    if text.len() > MAX_TENANT_BYTES {
        return Err(TenantError::TooLong);
    }
    if text == "." || text == ".." {
        return Err(TenantError::Dots);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(auth_enabled: bool, value: Option<&str>) -> Result<String, String> {
        let mut headers = HeaderMap::new();
        if let Some(value) = value {
            headers.insert(TENANT_HEADER, value.parse().unwrap());
        }
        tenant(auth_enabled, &headers).map_err(|error| error.to_string())
    }

    #[test]
    fn header_rules() {
        assert_eq!(of(false, Some("a b!")).as_deref(), Ok("fake"));
        assert_eq!(of(true, Some("team-1.(x)")).as_deref(), Ok("team-1.(x)"));
        for (value, want) in [
            (None, "no org id"),
            (Some(""), "no org id"),
            (Some("a b!"), "tenant ID 'a b!' contains unsupported character ' '"),
            (Some("../x"), "tenant ID '../x' contains unsupported character '/'"),
            (Some(".."), "tenant ID is '.' or '..'"),
            (Some("a|b"), "multiple org IDs present"),
            (Some(&"x".repeat(151)), "tenant ID is too long: max 150 characters"),
        ] {
            assert_eq!(of(true, value).unwrap_err(), want);
        }
    }
}
