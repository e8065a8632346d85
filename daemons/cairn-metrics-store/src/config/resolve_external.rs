//! What says who the store is and whom it tells: external labels, Alertmanagers.

use cairn_model::Labels;

use super::file::{Alertmanager, Global};
use super::resolve::{BadValue, Origin, bad};
use super::resolve_pool::check_group;

pub(super) fn external_labels(global: &Global, origin: Origin) -> Result<Labels, BadValue> {
    if global.external_labels.keys().any(String::is_empty) {
        return bad("global.external_labels", "\"\" is not a valid label name");
    }
    Ok(Labels::from_pairs(global.external_labels.iter().map(|(name, value)| {
        // Cairn's own file has been expanded while it was read.
        let value = if origin == Origin::Prometheus { expand_env(value, &env_var) } else { value.clone() };
        (name.clone(), value)
    })))
}

fn env_var(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| {
        tracing::warn!(name, "an external label names an environment variable that is not set");
        String::new()
    })
}

/// Replaces `$NAME` and `${NAME}`; `$$` is one dollar.
fn expand_env(text: &str, value_of: &dyn Fn(&str) -> String) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        if let Some(after) = after.strip_prefix('$') {
            out.push('$');
            rest = after;
            continue;
        }
        let (name, after) = match after.strip_prefix('{').and_then(|braced| braced.split_once('}')) {
            Some(parts) => parts,
            None => {
                let n = after.bytes().take_while(|b| b.is_ascii_alphanumeric() || *b == b'_').count();
                after.split_at(n)
            }
        };
        if name.is_empty() {
            out.push('$');
        } else {
            out.push_str(&value_of(name));
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

pub(super) fn alertmanager_urls(list: &[Alertmanager]) -> Result<Vec<String>, BadValue> {
    let mut urls = Vec::new();
    for (index, manager) in list.iter().enumerate() {
        let place = format!("alerting.alertmanagers[{index}]");
        if let Some(version) = manager.api_version.as_deref()
            && version != "v2"
        {
            return bad(
                place,
                format!("expected Alertmanager api version to be one of [v2] but got {version}"),
            );
        }
        let scheme = manager.scheme.as_deref().unwrap_or("http");
        let prefix = manager.path_prefix.as_deref().unwrap_or("").trim_matches('/');
        let slash = if prefix.is_empty() { "" } else { "/" };
        for group in &manager.static_configs {
            check_group(group, &place)?;
            urls.extend(
                group
                    .targets
                    .iter()
                    .map(|target| format!("{scheme}://{target}{slash}{prefix}/api/v2/alerts")),
            );
        }
    }
    Ok(urls)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn environment_is_expanded_as_go_does() {
        let value_of = |name: &str| format!("<{name}>");
        for (text, want) in
            [("a", "a"), ("${HOST}-$REGION.x", "<HOST>-<REGION>.x"), ("$$5", "$5"), ("cost $", "cost $")]
        {
            assert_eq!(expand_env(text, &value_of), want);
        }
    }
}
