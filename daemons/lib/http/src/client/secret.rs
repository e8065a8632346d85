//! Credentials: never printed, and read from their file each time that they are used.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize, Serializer};

/// What stands in the place of a secret wherever one would be shown.
const SHOWN: &str = "<secret>";

/// Largest file that is read for a credential.
const MAX_BYTES: u64 = 64 * 1024;

/// A text that is neither logged nor shown: printing and serialising give `<secret>`.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Hides a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(SHOWN)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(if self.0.is_empty() { "" } else { SHOWN })
    }
}

/// A credential, or where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretSource {
    /// Here.
    Inline(Secret),
    /// In a file, without the blanks around it. Rotating a credential is writing the file.
    File(PathBuf),
}

impl Default for SecretSource {
    fn default() -> Self {
        Self::Inline(Secret::default())
    }
}

impl SecretSource {
    /// The text as it is now.
    ///
    /// # Errors
    /// A text that names the file and what the system said.
    pub(crate) async fn read(&self) -> Result<Secret, String> {
        match self {
            Self::Inline(secret) => Ok(secret.clone()),
            Self::File(_) => {
                let source = self.clone();
                let read = tokio::task::spawn_blocking(move || source.read_now()).await;
                read.map_err(|error| error.to_string())?
            }
        }
    }

    /// As [`read`](Self::read), blocking.
    pub(super) fn read_now(&self) -> Result<Secret, String> {
        match self {
            Self::Inline(secret) => Ok(secret.clone()),
            Self::File(path) => {
                let text = String::from_utf8(read_capped(path)?)
                    .map_err(|_| format!("read {}: the credential is not UTF-8", path.display()))?;
                Ok(Secret::new(text.trim()))
            }
        }
    }
}

/// A small file whole.
pub(super) fn read_capped(path: &std::path::Path) -> Result<Vec<u8>, String> {
    use std::io::Read;
    let fail = |error: std::io::Error| format!("read {}: {error}", path.display());
    let file = std::fs::File::open(path).map_err(fail)?;
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(fail)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(format!("read {}: larger than {MAX_BYTES} bytes", path.display()));
    }
    Ok(bytes)
}
