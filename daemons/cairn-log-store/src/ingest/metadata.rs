//! Names of structured metadata: made to be label names, as Loki does.

use std::borrow::Cow;

/// Why a name cannot be made a label name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// An empty name.
    #[error("label name is empty")]
    Empty,
    /// Nothing but an underscore would be left.
    #[error("normalization for label name {name:?} resulted in invalid name \"_\"")]
    NothingLeft {
        /// The name as sent.
        name: String,
    },
}

/// The name with each run of other characters than `[A-Za-z0-9_]` replaced by one `_`, `key_` before a digit at the
/// start, and a double underscore at the start cut to one.
///
/// # Errors
/// [`NameError`] when no name is left.
pub fn normalize_name(name: &str) -> Result<Cow<'_, str>, NameError> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if name.is_empty() {
        return Err(NameError::Empty);
    }
    let starts_well = !name.starts_with(|c: char| c.is_ascii_digit()) && !name.starts_with("__");
    if starts_well && name.chars().all(is_plain) && name != "_" {
        return Ok(Cow::Borrowed(name));
    }
    let mut out = String::with_capacity(name.len() + 4);
    let mut in_run = false;
    for c in name.chars() {
        if is_plain(c) {
            out.push(c);
        } else if !in_run {
            out.push('_');
        }
        in_run = !is_plain(c);
    }
    if out.starts_with(|c: char| c.is_ascii_digit()) {
        out.insert_str(0, "key_");
    } else if out.starts_with("__") {
        let rest = out.trim_start_matches('_');
        out = format!("_{rest}");
    }
    if out.chars().all(|c| c == '_') {
        return Err(NameError::NothingLeft { name: name.to_owned() });
    }
    Ok(Cow::Owned(out))
}

/// Bytes of names and values.
pub fn size(pairs: &[(String, String)]) -> usize {
    pairs.iter().map(|(name, value)| name.len() + value.len()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_label_names() {
        for (name, want) in [
            ("trace_id", "trace_id"),
            ("a..b", "a_b"),
            ("x y", "x_y"),
            ("k-v/z", "k_v_z"),
            ("1x", "key_1x"),
            ("__dd", "_dd"),
            ("aé", "a_"),
            ("_x", "_x"),
        ] {
            assert_eq!(normalize_name(name).as_deref(), Ok(want), "{name}");
        }
        assert_eq!(normalize_name("").unwrap_err().to_string(), "label name is empty");
        assert_eq!(
            normalize_name("é").unwrap_err().to_string(),
            "normalization for label name \"é\" resulted in invalid name \"_\""
        );
    }
}
