//! libFuzzer over the target that `CAIRN_FUZZ_TARGET` names. With `CAIRN_FUZZ_SEEDS` it writes the seeds to that folder.

#![no_main]

use std::sync::OnceLock;

use cairn_fuzz::Target;

static TARGET: OnceLock<Target> = OnceLock::new();

fn init() {
    let name = std::env::var("CAIRN_FUZZ_TARGET").unwrap_or_default();
    let Some(target) = cairn_fuzz::target(&name) else {
        let names: Vec<&str> = cairn_fuzz::TARGETS.iter().map(|target| target.name).collect();
        eprintln!("CAIRN_FUZZ_TARGET: one of {}", names.join(" "));
        std::process::exit(64);
    };
    if let Some(dir) = std::env::var_os("CAIRN_FUZZ_SEEDS") {
        for (number, seed) in (target.seeds)().into_iter().enumerate() {
            let path = std::path::Path::new(&dir).join(format!("seed-{number:03}"));
            std::fs::write(&path, seed).expect("the folder can be written");
        }
    }
    let _ = TARGET.set(target);
}

libfuzzer_sys::fuzz_target!(init: init(), |data: &[u8]| {
    if let Some(target) = TARGET.get() {
        (target.run)(data);
    }
});
