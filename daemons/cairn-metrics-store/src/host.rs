//! The machine's name.

/// The host name, or `localhost` where there is none.
pub(crate) fn name() -> String {
    nix::unistd::gethostname()
        .map_or_else(|_| "localhost".to_owned(), |name| name.to_string_lossy().into_owned())
}
