//! What `--check-config` looks at beyond the file itself: the files that it names.
//!
//! Not done at a start or a reload. A credential or certificate may come later, or be away for a moment while it is renewed;
//! then the scrapes that need it fail, and all others go on.

use super::resolve::{Config, PoolConfig};
use crate::discovery::{Discovery, file};

/// What is wrong with the files that a configuration names, one line each with the place. Blocking.
pub fn check_files(config: &Config) -> Vec<String> {
    config.pools.iter().flat_map(|pool| check_pool(pool)).collect()
}

fn check_pool(pool: &PoolConfig) -> Vec<String> {
    let job = format!("job {}", cairn_model::gotext::quote(&pool.job_name));
    let mut found: Vec<String> =
        pool.client.check_files().into_iter().map(|what| format!("{job}: {what}")).collect();
    for (place, discovery) in &pool.discoveries {
        let wrong = match discovery {
            Discovery::File(sd) => file::check(sd),
            Discovery::Http(sd) => sd.client.check_files(),
            Discovery::Ec2(sd) => sd.client.check_files(),
            Discovery::Dns(_) => Vec::new(),
        };
        found.extend(wrong.into_iter().map(|what| format!("{job}: {place}: {what}")));
    }
    found
}
