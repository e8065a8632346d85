//! What a request says about who asks.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;

use super::config::Auth;
use super::oauth2::TokenSource;

/// [`Auth`], with the token that was got last.
#[derive(Debug)]
pub(super) struct Credentials {
    auth: Auth,
    tokens: Option<TokenSource>,
}

impl Credentials {
    pub(super) fn new(auth: &Auth, user_agent: &str) -> Self {
        let tokens = match auth {
            Auth::OAuth2(config) => Some(TokenSource::new((**config).clone(), user_agent)),
            _ => None,
        };
        Self { auth: auth.clone(), tokens }
    }

    /// The value of `Authorization` for the next request.
    ///
    /// # Errors
    /// A text: a file that cannot be read, or a token that is not given.
    pub(super) async fn header(&self) -> Result<Option<HeaderValue>, String> {
        let text = match &self.auth {
            Auth::None => return Ok(None),
            Auth::Basic { username, password } => {
                let (username, password) = (username.read().await?, password.read().await?);
                basic(username.expose(), password.expose())
            }
            Auth::Header { kind, credentials } => format!("{kind} {}", credentials.read().await?.expose()),
            Auth::OAuth2(_) => match &self.tokens {
                Some(tokens) => tokens.header().await?,
                None => return Ok(None),
            },
        };
        let mut value = HeaderValue::from_str(&text)
            .map_err(|_| "the credentials hold characters that no header may hold".to_owned())?;
        value.set_sensitive(true);
        Ok(Some(value))
    }
}

pub(super) fn basic(username: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{username}:{password}")))
}
