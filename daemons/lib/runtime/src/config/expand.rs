//! `"${env:NAME}"` and `"${file:PATH}"` inside TOML string values.
//!
//! Only these two forms mean anything; every other dollar sign stays, so that `replacement = "${1}"` survives.
//! `$${env:` is a literal `${env:`. What was put in is not expanded again.

use std::borrow::Cow;
use std::io::Read;

/// Largest file that `${file:...}` puts in: keys and passwords are small.
const MAX_FILE_BYTES: u64 = 64 * 1024;

/// Where values come from; replaced in tests.
pub(super) trait Values {
    fn env(&self, name: &str) -> Result<String, String>;
    fn file(&self, path: &str) -> Result<String, String>;
}

/// The process's environment and the real file system.
pub(super) struct SystemValues;

impl Values for SystemValues {
    fn env(&self, name: &str) -> Result<String, String> {
        std::env::var(name).map_err(|error| match error {
            std::env::VarError::NotPresent => format!("environment variable {name} is not set"),
            std::env::VarError::NotUnicode(_) => format!("environment variable {name} is not UTF-8"),
        })
    }

    fn file(&self, path: &str) -> Result<String, String> {
        let mut text = String::new();
        let file = std::fs::File::open(path).map_err(|error| format!("read {path}: {error}"))?;
        file.take(MAX_FILE_BYTES + 1)
            .read_to_string(&mut text)
            .map_err(|error| format!("read {path}: {error}"))?;
        if text.len() as u64 > MAX_FILE_BYTES {
            return Err(format!("read {path}: larger than {MAX_FILE_BYTES} bytes"));
        }
        // Editors end a file with a newline that nobody means to be part of a password.
        if text.ends_with('\n') {
            text.pop();
            if text.ends_with('\r') {
                text.pop();
            }
        }
        Ok(text)
    }
}

/// Expands one string. Borrowed where there was nothing to do.
///
/// # Errors
/// A message that names the variable or file.
pub(super) fn expand<'a>(text: &'a str, values: &impl Values) -> Result<Cow<'a, str>, String> {
    if !text.contains("${env:") && !text.contains("${file:") {
        return Ok(Cow::Borrowed(text));
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(dollar) = rest.find('$') {
        out.push_str(&rest[..dollar]);
        rest = &rest[dollar..];
        if rest.starts_with("$${env:") || rest.starts_with("$${file:") {
            out.push_str("${");
            rest = &rest["$${".len()..];
            continue;
        }
        let reference = rest
            .strip_prefix("${env:")
            .map(|inner| (true, inner))
            .or_else(|| rest.strip_prefix("${file:").map(|inner| (false, inner)));
        let Some((is_env, inner)) = reference else {
            out.push('$');
            rest = &rest[1..];
            continue;
        };
        let Some((name, after)) = inner.split_once('}') else {
            return Err(format!("`{rest}` has no closing `}}`"));
        };
        if name.is_empty() {
            return Err("`${env:}` and `${file:}` need a name".to_owned());
        }
        out.push_str(&if is_env { values.env(name)? } else { values.file(name)? });
        rest = after;
    }
    out.push_str(rest);
    Ok(Cow::Owned(out))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed;

    impl Values for Fixed {
        fn env(&self, name: &str) -> Result<String, String> {
            match name {
                "HOST" => Ok("ip-10-0-2-7".into()),
                "DOLLAR" => Ok("${env:HOST}".into()),
                _ => Err(format!("environment variable {name} is not set")),
            }
        }

        fn file(&self, path: &str) -> Result<String, String> {
            Ok(format!("<{path}>"))
        }
    }

    #[test]
    fn only_the_two_forms_are_expanded_and_only_once() {
        let check = |text: &str, want: &str| assert_eq!(expand(text, &Fixed).unwrap(), want, "{text}");
        check("plain", "plain");
        check("http://${env:HOST}:3100", "http://ip-10-0-2-7:3100");
        check("${env:HOST}${file:/run/key}", "ip-10-0-2-7</run/key>");
        check("${1}$2${HOST} ${env:HOST}$", "${1}$2${HOST} ip-10-0-2-7$");
        check("$${env:HOST}", "${env:HOST}");
        check("${env:DOLLAR}", "${env:HOST}");
    }

    #[test]
    fn mistakes_are_named() {
        assert_eq!(expand("${env:NOPE}", &Fixed).unwrap_err(), "environment variable NOPE is not set");
        assert_eq!(expand("a ${env:NOPE", &Fixed).unwrap_err(), "`${env:NOPE` has no closing `}`");
        assert_eq!(expand("${file:}", &Fixed).unwrap_err(), "`${env:}` and `${file:}` need a name");
    }

    #[test]
    fn a_files_last_newline_is_not_part_of_the_value() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        std::fs::write(&path, "hush\n").unwrap();
        assert_eq!(SystemValues.file(path.to_str().unwrap()).unwrap(), "hush");
        std::fs::write(&path, vec![b'x'; 70_000]).unwrap();
        assert!(SystemValues.file(path.to_str().unwrap()).unwrap_err().ends_with("larger than 65536 bytes"));
    }
}
