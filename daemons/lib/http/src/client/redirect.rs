//! Where a `Location` leads.

use http::Uri;

/// Resolves `location` against the URL that answered it: absolute, `//host/path`, `/path`, `?query`, or relative.
/// `None`: it is no URL.
pub(super) fn resolve(base: &Uri, location: &str) -> Option<Uri> {
    let location = location.split('#').next().unwrap_or("");
    let (scheme, authority) = (base.scheme_str()?, base.authority()?);
    let text = if location.contains("://") {
        location.to_owned()
    } else if location.starts_with("//") {
        format!("{scheme}:{location}")
    } else if location.starts_with('/') {
        format!("{scheme}://{authority}{location}")
    } else if location.starts_with('?') {
        format!("{scheme}://{authority}{}{location}", base.path())
    } else {
        let folder = base.path().rsplit_once('/').map_or("", |(folder, _)| folder);
        format!("{scheme}://{authority}{folder}/{location}")
    };
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        let base: Uri = "http://a:1/x/y?q=1".parse().unwrap();
        let check = |location: &str, want: &str| {
            assert_eq!(resolve(&base, location).unwrap().to_string(), want, "{location}");
        };
        check("http://b/z", "http://b/z");
        check("//b/z", "http://b/z");
        check("/z?w", "http://a:1/z?w");
        check("z#top", "http://a:1/x/z");
        check("?w=2", "http://a:1/x/y?w=2");
        assert!(resolve(&base, "http://[").is_none());
    }
}
