//! Globs as Promtail writes them: `*` and `?` inside one name, `**` over any number of folders, `[a-z]`, `{a,b}`.

use std::fs;
use std::path::{Path, PathBuf};

use globset::{GlobBuilder, GlobMatcher};

/// Most alternatives that braces may spell out.
const MAX_ALTERNATIVES: usize = 256;
/// Deepest folder below the first `**`: a loop of bind mounts ends somewhere.
const MAX_DEPTH: usize = 64;
/// Most folders walked for one glob.
const MAX_FOLDERS: usize = 10_000;

/// A compiled glob.
#[derive(Debug)]
pub struct Glob {
    text: String,
    alternatives: Vec<Alternative>,
}

/// One spelling after the braces are multiplied out.
#[derive(Debug)]
struct Alternative {
    whole: GlobMatcher,
    /// Folder before the first part with a special character.
    base: PathBuf,
    parts: Vec<Part>,
}

#[derive(Debug)]
enum Part {
    Literal(String),
    Pattern(GlobMatcher),
    AnyFolders,
}

/// Why a glob cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum GlobError {
    /// Not an absolute path.
    #[error("{0:?}: expected an absolute path")]
    Relative(String),
    /// The pattern is malformed.
    #[error("{pattern:?}: {message}")]
    Syntax {
        /// The pattern.
        pattern: String,
        /// What is wrong.
        message: String,
    },
    /// The braces spell out too much.
    #[error("{0:?}: more than {MAX_ALTERNATIVES} alternatives")]
    TooMany(String),
}

/// What a walk has found.
#[derive(Debug, Default)]
pub struct Walk {
    /// Paths that match, files or not.
    pub paths: Vec<PathBuf>,
    /// Folders in which a matching name may appear; to be watched.
    pub folders: Vec<PathBuf>,
}

impl Glob {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// [`GlobError`] for a relative path, a malformed pattern, or one that spells out too much.
    pub fn new(text: &str) -> Result<Self, GlobError> {
        if !text.starts_with('/') {
            return Err(GlobError::Relative(text.to_owned()));
        }
        let mut spelled = Vec::new();
        expand_braces(text, &mut spelled, text)?;
        let alternatives = spelled.iter().map(|one| Alternative::new(one)).collect::<Result<_, _>>()?;
        Ok(Self { text: text.to_owned(), alternatives })
    }

    /// The pattern as written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether a path matches.
    pub fn matches(&self, path: &Path) -> bool {
        self.alternatives.iter().any(|one| one.whole.is_match(path))
    }

    /// Finds what is there now, each path once, ascending.
    pub fn walk(&self) -> Walk {
        let mut walk = Walk::default();
        for one in &self.alternatives {
            one.descend(&one.base, &one.parts, 0, &mut walk);
        }
        walk.paths.sort();
        walk.paths.dedup();
        walk.folders.sort();
        walk.folders.dedup();
        walk
    }
}

impl Alternative {
    fn new(pattern: &str) -> Result<Self, GlobError> {
        let mut base = PathBuf::from("/");
        let mut parts = Vec::new();
        for name in pattern.split('/').filter(|name| !name.is_empty()) {
            let is_plain = !name.contains(['*', '?', '[', '\\']);
            match name {
                "**" => parts.push(Part::AnyFolders),
                // The last part is never in the base: its folder is what gets watched.
                name if is_plain => parts.push(Part::Literal(name.to_owned())),
                name => parts.push(Part::Pattern(compile(name)?)),
            }
        }
        let n_plain = parts.iter().take_while(|part| matches!(part, Part::Literal(_))).count();
        for part in parts.drain(..n_plain.min(parts.len().saturating_sub(1))) {
            if let Part::Literal(name) = part {
                base.push(name);
            }
        }
        Ok(Self { whole: compile(pattern)?, base, parts })
    }

    fn descend(&self, folder: &Path, parts: &[Part], depth: usize, walk: &mut Walk) {
        if walk.folders.len() >= MAX_FOLDERS || depth > MAX_DEPTH {
            return;
        }
        let Some((part, rest)) = parts.split_first() else { return };
        walk.folders.push(folder.to_owned());
        match part {
            Part::Literal(name) => self.enter(folder.join(name), rest, depth, walk),
            Part::Pattern(matcher) => {
                for name in names(folder) {
                    if matcher.is_match(&name) {
                        self.enter(folder.join(name), rest, depth, walk);
                    }
                }
            }
            Part::AnyFolders => {
                if rest.is_empty() {
                    // `a/**`: everything below.
                    for name in names(folder) {
                        self.enter(folder.join(name), rest, depth, walk);
                    }
                } else {
                    self.descend(folder, rest, depth, walk);
                }
                for name in names(folder) {
                    let path = folder.join(name);
                    // Symbolic links to folders are not followed below `**`: they may lead back up.
                    if path.symlink_metadata().is_ok_and(|metadata| metadata.is_dir()) {
                        self.descend(&path, parts, depth + 1, walk);
                    }
                }
            }
        }
    }

    fn enter(&self, path: PathBuf, rest: &[Part], depth: usize, walk: &mut Walk) {
        if rest.is_empty() {
            if path.exists() {
                walk.paths.push(path);
            }
        } else if path.is_dir() {
            self.descend(&path, rest, depth + 1, walk);
        }
    }
}

fn names(folder: &Path) -> Vec<String> {
    // An unreadable folder holds nothing for us; the status page shows what is tailed.
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    // Names that are not UTF-8 cannot become a label value.
    entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

fn compile(pattern: &str) -> Result<GlobMatcher, GlobError> {
    GlobBuilder::new(pattern)
        .literal_separator(true)
        .backslash_escape(true)
        .build()
        .map(|glob| glob.compile_matcher())
        .map_err(|error| GlobError::Syntax { pattern: pattern.to_owned(), message: error.kind().to_string() })
}

/// Multiplies `{a,b}` out: alternatives may hold slashes, which a walk by names could not follow.
fn expand_braces(pattern: &str, out: &mut Vec<String>, whole: &str) -> Result<(), GlobError> {
    let Some(open) = pattern.find('{') else {
        if out.len() == MAX_ALTERNATIVES {
            return Err(GlobError::TooMany(whole.to_owned()));
        }
        out.push(pattern.to_owned());
        return Ok(());
    };
    let syntax = |message: &str| GlobError::Syntax { pattern: whole.to_owned(), message: message.to_owned() };
    let mut depth = 0usize;
    let mut starts = vec![open + 1];
    for (at, c) in pattern.char_indices().skip_while(|(at, _)| *at < open) {
        match c {
            '{' => depth += 1,
            ',' if depth == 1 => starts.push(at + 1),
            '}' => {
                depth -= 1;
                if depth == 0 {
                    starts.push(at + 1);
                    for two in starts.windows(2) {
                        let choice = &pattern[two[0]..two[1] - 1];
                        let spelled = format!("{}{choice}{}", &pattern[..open], &pattern[at + 1..]);
                        expand_braces(&spelled, out, whole)?;
                    }
                    return Ok(());
                }
            }
            _ => {}
        }
    }
    Err(syntax("a brace is not closed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_as_doublestar_does() {
        for (pattern, path, want) in [
            ("/var/log/*.log", "/var/log/a.log", true),
            ("/var/log/*.log", "/var/log/x/a.log", false),
            ("/var/log/**/*.log", "/var/log/a.log", true),
            ("/var/log/**/*.log", "/var/log/x/y/a.log", true),
            ("/var/log/{syslog,x/a}.log", "/var/log/x/a.log", true),
            ("/var/log/a[0-9]?.log", "/var/log/a1z.log", true),
            ("/var/log/app.log", "/var/log/app.log.1", false),
        ] {
            assert_eq!(Glob::new(pattern).unwrap().matches(Path::new(path)), want, "{pattern} {path}");
        }
    }

    #[test]
    fn refuses_with_the_pattern() {
        assert_eq!(Glob::new("a.log").unwrap_err().to_string(), "\"a.log\": expected an absolute path");
        assert!(Glob::new("/a{b").unwrap_err().to_string().contains("brace"));
        let many = "/{0,1}".repeat(9);
        assert!(Glob::new(&many).unwrap_err().to_string().contains("256"));
    }

    #[test]
    fn walks_the_folders_that_matter() {
        let dir = tempfile::tempdir().unwrap();
        for path in ["a.log", "x/b.log", "x/y/c.log", "x/y/c.txt"] {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let root = dir.path().to_str().unwrap();
        let found = |pattern: &str| -> Vec<String> {
            let walk = Glob::new(&format!("{root}/{pattern}")).unwrap().walk();
            walk.paths.iter().map(|p| p.strip_prefix(root).unwrap().display().to_string()).collect()
        };
        assert_eq!(found("*.log"), ["a.log"]);
        assert_eq!(found("**/*.log"), ["a.log", "x/b.log", "x/y/c.log"]);
        assert_eq!(found("x/{b.log,y/c.*}"), ["x/b.log", "x/y/c.log", "x/y/c.txt"]);
        assert_eq!(found("nothing/*.log"), [""; 0]);
        // The folder that does not exist yet is reported, so that its parent can be watched.
        let walk = Glob::new(&format!("{root}/later/*.log")).unwrap().walk();
        assert_eq!(walk.folders, [dir.path().join("later")]);
    }
}
