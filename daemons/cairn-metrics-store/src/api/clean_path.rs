//! Paths that are almost right: where to send whoever asked for one.

/// The path that is meant by one with empty, `.` or `..` parts; `None` when it is clean. A slash at the end stays:
/// whether it belongs there is a matter of the routes.
pub(super) fn cleaned(path: &str) -> Option<String> {
    if !path.starts_with('/') {
        // `OPTIONS *`
        return None;
    }
    let mut kept: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                kept.pop();
            }
            part => kept.push(part),
        }
    }
    let end = if path.ends_with('/') && !kept.is_empty() { "/" } else { "" };
    let clean = format!("/{}{end}", kept.join("/"));
    (clean != path).then_some(clean)
}

/// The path without the slash at its end; `None` when there is none, or nothing else.
pub(super) fn without_end_slash(path: &str) -> Option<&str> {
    path.strip_suffix('/').filter(|rest| !rest.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_cleaned_as_go_cleans_them() {
        for (path, want) in [
            ("/", None),
            ("*", None),
            ("/api/v1/query", None),
            ("/api/v1/query/", None),
            ("//", Some("/")),
            ("//api/v1/query", Some("/api/v1/query")),
            ("/api/v1//query", Some("/api/v1/query")),
            ("/api/v1/query//", Some("/api/v1/query/")),
            ("/api/v1/../v1/./query", Some("/api/v1/query")),
            ("/../..", Some("/")),
            ("/api/..x/.y", None),
        ] {
            assert_eq!(cleaned(path).as_deref(), want, "{path}");
        }
        assert_eq!(without_end_slash("/a/"), Some("/a"));
        assert_eq!(without_end_slash("/a"), None);
        assert_eq!(without_end_slash("/"), None);
    }
}
