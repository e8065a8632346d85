//! Configuration files: where they are, how they are read, and errors that point at the key.
//!
//! TOML is Cairn's own form; YAML is read for the peers' files. Both go through serde types of the daemon, which say
//! `#[serde(deny_unknown_fields)]` and use the newtypes here ([`HumanDuration`], [`ByteSize`], [`Secret`],
//! [`ListenAddr`]) so that a wrong value is reported where it stands. Don't use `#[serde(flatten)]` in them: the
//! position is lost.

mod error;
mod expand;
mod listen;
mod position;
mod secret;
mod toml_text;
mod units;
mod yaml_text;

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

pub use error::{ConfigError, about_key};
pub use listen::{ListenAddr, ListenAddrError, OptionalListen};
pub use secret::Secret;
pub use toml_text::parse_toml;
pub use units::{ByteSize, ByteSizeError, HumanDuration, HumanDurationError, lenient_bytes};
pub use yaml_text::parse_yaml;

/// Largest configuration file that is read. Ten times a prometheus.yml with thousands of targets.
pub const MAX_CONFIG_BYTES: u64 = 16 * 1024 * 1024;

/// Folder of the packaged configuration files.
pub const SYSTEM_CONFIG_DIR: &str = "/etc/cairn";

/// Where a configuration came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigSource {
    /// This file.
    File(PathBuf),
    /// No file was named and the system's does not exist: the defaults in the program.
    BuiltIn,
}

impl std::fmt::Display for ConfigSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ConfigSource::File(path) => write!(f, "{}", path.display()),
            ConfigSource::BuiltIn => f.write_str("built-in defaults"),
        }
    }
}

/// Finds the file to read: the one named on the command line, else `/etc/cairn/<name>.toml` where it exists.
pub fn find(explicit: Option<&Path>, name: &str) -> ConfigSource {
    find_in(explicit, name, Path::new(SYSTEM_CONFIG_DIR))
}

fn find_in(explicit: Option<&Path>, name: &str, system_dir: &Path) -> ConfigSource {
    let system_file = || system_dir.join(format!("{name}.toml"));
    match explicit {
        Some(path) => ConfigSource::File(path.to_owned()),
        // A file that exists but cannot be read is an error later on, not a reason for defaults.
        None if system_file().exists() => ConfigSource::File(system_file()),
        None => ConfigSource::BuiltIn,
    }
}

/// Reads the daemon's TOML: `explicit`, else `/etc/cairn/<name>.toml`, else the type's defaults. Says which it was.
///
/// # Errors
/// [`ConfigError`], naming file, line, column, key and what was expected.
pub fn load_or_default<T: DeserializeOwned + Default>(
    explicit: Option<&Path>,
    name: &str,
) -> Result<(T, ConfigSource), ConfigError> {
    let source = find(explicit, name);
    let value = match &source {
        ConfigSource::File(path) => load_toml(path)?,
        ConfigSource::BuiltIn => T::default(),
    };
    Ok((value, source))
}

/// Reads a TOML file, with `"${env:NAME}"` and `"${file:PATH}"` expanded in its string values.
///
/// # Errors
/// As [`load_or_default`].
pub fn load_toml<T: DeserializeOwned>(path: &Path) -> Result<T, ConfigError> {
    parse_toml(&read_file(path)?, path)
}

/// Reads a peer's YAML file. Nothing in it is expanded.
///
/// # Errors
/// As [`load_or_default`].
pub fn load_yaml<T: DeserializeOwned>(path: &Path) -> Result<T, ConfigError> {
    parse_yaml(&read_file(path)?, path)
}

/// Reads a file of at most [`MAX_CONFIG_BYTES`] as UTF-8.
///
/// # Errors
/// [`ConfigError`] naming the file.
pub fn read_file(path: &Path) -> Result<String, ConfigError> {
    use std::io::Read;
    let file = std::fs::File::open(path).map_err(|source| ConfigError::unreadable(path, source))?;
    let mut bytes = Vec::new();
    file.take(MAX_CONFIG_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(|source| ConfigError::unreadable(path, source))?;
    if bytes.len() as u64 > MAX_CONFIG_BYTES {
        return Err(ConfigError::rule(path, "", format!("larger than {MAX_CONFIG_BYTES} bytes")));
    }
    String::from_utf8(bytes).map_err(|error| {
        let offset = error.utf8_error().valid_up_to();
        ConfigError::rule(path, "", format!("not UTF-8 at byte {offset}"))
    })
}

/// A packaged file with the defaults in force that it shows as `#key = value`; `# text` stays a comment.
///
/// For the tests that hold the packaged files against the programs' own defaults.
pub fn uncommented(packaged: &str) -> String {
    let is_key = |rest: &str| {
        rest.split_once(" = ").is_some_and(|(key, _)| {
            !key.is_empty() && key.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        })
    };
    let mut out = String::with_capacity(packaged.len());
    for line in packaged.lines() {
        out.push_str(line.strip_prefix('#').filter(|rest| is_key(rest)).unwrap_or(line));
        out.push('\n');
    }
    out
}

/// Prints what `--check-config` prints for a good configuration.
#[expect(clippy::print_stdout, reason = "the answer that --check-config was asked for")]
pub fn report_good(source: &ConfigSource) {
    println!("configuration is good: {source}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(serde::Deserialize, Debug, PartialEq, Default)]
    #[serde(deny_unknown_fields, default)]
    struct Sample {
        listen: String,
    }

    #[test]
    fn the_named_file_comes_before_the_system_file_and_that_before_the_defaults() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(find_in(None, "app", dir.path()), ConfigSource::BuiltIn);
        let system_file = dir.path().join("app.toml");
        std::fs::write(&system_file, "").unwrap();
        assert_eq!(find_in(None, "app", dir.path()), ConfigSource::File(system_file));
        let named = find_in(Some(Path::new("x.toml")), "app", dir.path());
        assert_eq!(named, ConfigSource::File("x.toml".into()));
    }

    #[test]
    fn only_commented_keys_are_uncommented() {
        let packaged =
            "# A key = value in prose.\n#listen = \"a:1\"\n#not a key = 1\n[limits]\n#n_2 = 3\nx = 1\n";
        let want = "# A key = value in prose.\nlisten = \"a:1\"\n#not a key = 1\n[limits]\nn_2 = 3\nx = 1\n";
        assert_eq!(uncommented(packaged), want);
    }

    #[test]
    fn a_named_file_must_exist_and_be_text() {
        let error = load_or_default::<Sample>(Some(Path::new("/nonexistent/app.toml")), "app").unwrap_err();
        assert_eq!(error.to_string(), "/nonexistent/app.toml: No such file or directory (os error 2)");
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("bad.toml");
        std::fs::write(&path, b"listen = \"\xff\"").unwrap();
        let error = load_toml::<Sample>(&path).unwrap_err().to_string();
        assert!(error.ends_with("bad.toml: not UTF-8 at byte 10"), "{error}");
    }
}
