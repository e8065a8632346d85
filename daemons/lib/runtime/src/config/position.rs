//! From byte offsets in a file to what a person looks for: line, column, key.

/// A place in a text, both numbers from 1; the column counts characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LineColumn {
    pub(super) line: usize,
    pub(super) column: usize,
}

/// Line and column of byte `offset`, which may lie at or beyond the end.
pub(super) fn line_column(text: &str, offset: usize) -> LineColumn {
    let mut offset = offset.min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    let before = &text[..offset];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    LineColumn { line: before.matches('\n').count() + 1, column: before[line_start..].chars().count() + 1 }
}

/// Byte offset of a line and column, both from 1.
pub(super) fn offset_of(text: &str, line: usize, column: usize) -> usize {
    let line_start: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    let in_line = text[line_start..].char_indices().nth(column.saturating_sub(1));
    in_line.map_or(text.len(), |(offset, _)| line_start + offset)
}

/// Where the nearest `key:` (YAML) or `key =`, `[key]`, `[[key]]` (TOML) begins that stands at or before byte `offset`, outside of
/// lines that are comments.
pub(super) fn key_before(text: &str, offset: usize, key: &str) -> Option<usize> {
    let mut end = offset.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    // The key itself may be where the error is.
    let end = text[end..].find('\n').map_or(text.len(), |newline| end + newline);
    let is_word = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
    text[..end].rmatch_indices(key).map(|(start, _)| start).filter(|start| *start <= offset).find(|start| {
        let line_start = text[..*start].rfind('\n').map_or(0, |newline| newline + 1);
        let before = &text[line_start..*start];
        let after = &text[start + key.len()..];
        let follows = after.trim_start_matches(['"', '\'', ' ', '\t']);
        !before.trim_start().starts_with('#')
            && !before.ends_with(is_word)
            && !after.starts_with(is_word)
            && follows.starts_with([':', '=', ']'])
    })
}

/// Whether the value of this key must not be shown.
pub(super) fn is_secret_key(key: &str) -> bool {
    let last = key.rsplit('.').next().unwrap_or(key).to_ascii_lowercase();
    let names_a_file = last.ends_with("_file") || last.ends_with("_path");
    !names_a_file
        && ["password", "secret", "token", "credential", "api_key"].iter().any(|word| last.contains(word))
}

/// The key path that leads to `line` (from 1) in block-style YAML: `scrape_configs.static_configs.targets`.
///
/// Found by indentation, which is how a person finds it; flow-style parts count as their line's key. Empty where no
/// key stands above.
pub(super) fn yaml_key_at(text: &str, line: usize) -> String {
    let lines: Vec<&str> = text.lines().take(line).collect();
    let mut keys = Vec::new();
    let mut limit = usize::MAX;
    for line in lines.iter().rev() {
        let trimmed = line.trim_start();
        if trimmed.is_empty() || trimmed.starts_with('#') {
            continue;
        }
        let indent = line.len() - trimmed.len();
        if indent >= limit {
            continue;
        }
        // `- key: x` is a key two columns further in, and the list item belongs to the key above the dash.
        let body = trimmed.trim_start_matches("- ");
        let key_indent = indent + (trimmed.len() - body.len());
        if let Some(key) = yaml_key(body)
            && key_indent < limit
        {
            keys.push(key);
        }
        limit = if body.len() < trimmed.len() { indent + 1 } else { indent };
        if limit == 0 {
            break;
        }
    }
    keys.reverse();
    keys.join(".")
}

fn yaml_key(body: &str) -> Option<&str> {
    let (key, rest) = body.split_once(':')?;
    let key = key.trim_matches(['"', '\'', ' ']);
    let is_key = (rest.is_empty() || rest.starts_with([' ', '\t'])) && !key.contains(['{', '[', '#']);
    (is_key && !key.is_empty()).then_some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_columns_count_characters() {
        let text = "ä = 1\nbü = 2\n";
        let offset = text.find('2').unwrap();
        assert_eq!(line_column(text, offset), LineColumn { line: 2, column: 6 });
        assert_eq!(offset_of(text, 2, 6), offset);
        assert_eq!(line_column(text, 999), LineColumn { line: 3, column: 1 });
        assert_eq!(offset_of(text, 9, 9), text.len());
    }

    #[test]
    fn yaml_keys_follow_the_indentation() {
        let text = "global:\n  a: 1\n\nscrape_configs:\n  - job_name: x\n    static_configs:\n      - targets:\n        - b\n        labels: {c: d}\n";
        let check = |line, want| assert_eq!(yaml_key_at(text, line), want, "line {line}");
        check(1, "global");
        check(2, "global.a");
        check(5, "scrape_configs.job_name");
        check(6, "scrape_configs.static_configs");
        check(7, "scrape_configs.static_configs.targets");
        check(8, "scrape_configs.static_configs.targets");
        check(9, "scrape_configs.static_configs.labels");
    }

    #[test]
    fn the_nearest_key_above_a_value_is_found() {
        let text =
            "rule_files:\n - a_sd: [x]\n   # b_sd: y\n   b_sd:\n    - role: b_sd\n[[c.b_sd]]\nrole = 1\n";
        let check = |at: &str, key: &str, want: Option<usize>| {
            let found = key_before(text, text.find(at).unwrap(), key);
            assert_eq!(found, want, "{key} above {at}");
        };
        check("x]", "a_sd", text.find("a_sd"));
        check("role: b", "b_sd", text.find("b_sd:\n"));
        check("b_sd\n[[", "b_sd", text.find("b_sd:\n"));
        check("role = 1", "b_sd", text.find("b_sd]]"));
        check("b_sd:\n", "b_sd", text.find("b_sd:\n"));
        check("x]", "b_sd", None);
        check("role = 1", "files", None);
    }

    #[test]
    fn secrets_are_known_by_their_names() {
        assert!(is_secret_key("clients.basic_auth.password"));
        assert!(is_secret_key("bearer_token"));
        assert!(!is_secret_key("clients.basic_auth.password_file"));
        assert!(!is_secret_key("listen"));
    }
}
