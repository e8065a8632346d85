//! Child processes that do not outlive the program that started them.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use anyhow::{Context, Result};

/// A command for `program`, without standard input and in a process group of its own: a terminal's Ctrl-C goes to the
/// whole foreground group, and the children are to be stopped in order, by us, once.
///
/// Should we be killed, the kernel asks the child to stop (TERM). `setpriv` (util-linux, on every Debian) arranges that
/// and then becomes the program, under the same process id; where there is none, the child is started plainly.
pub fn command(program: &Path) -> Command {
    let mut command = match find_in_path("setpriv") {
        Some(setpriv) => {
            let mut command = Command::new(setpriv);
            command.args([
                OsStr::new("--pdeathsig"),
                OsStr::new("TERM"),
                OsStr::new("--"),
                program.as_os_str(),
            ]);
            command
        }
        None => Command::new(program),
    };
    command.stdin(Stdio::null()).process_group(0);
    command
}

/// The path of a program that a shell would find by its name.
pub fn find_in_path(program: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?)
        .map(|folder| folder.join(program))
        .find(|path| path.is_file())
}

/// A new, empty file for what a child writes. What an earlier run left there is kept beside it as `<log>.previous`: it
/// may say why that run ended.
///
/// # Errors
/// When the file cannot be made.
pub fn new_log(log: &Path) -> Result<File> {
    if log.exists() {
        let mut previous = log.as_os_str().to_owned();
        previous.push(".previous");
        fs::rename(log, &previous).with_context(|| format!("keep the earlier {}", log.display()))?;
    }
    File::create(log).with_context(|| format!("create {}", log.display()))
}

/// `exit status 78` or `signal 9`.
pub fn describe(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "an unknown status".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::{START_DEADLINE, wait_for};

    #[test]
    fn an_earlier_log_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("a.log");
        new_log(&log).unwrap();
        fs::write(&log, "first").unwrap();
        new_log(&log).unwrap();
        assert_eq!(fs::read_to_string(&log).unwrap(), "");
        assert_eq!(fs::read_to_string(dir.path().join("a.log.previous")).unwrap(), "first");
    }

    #[test]
    fn a_child_ends_with_the_thread_that_started_it() {
        if find_in_path("setpriv").is_none() {
            eprintln!("skipping: setpriv is not installed");
            return;
        }
        let sleep = find_in_path("sleep").unwrap();
        // The kernel watches the thread that started the child; that a killed process ends its threads is its promise.
        let thread = std::thread::spawn(move || {
            let child = command(&sleep).arg("600").spawn().unwrap();
            let name = format!("/proc/{}/comm", child.id());
            wait_for("setpriv to become sleep", START_DEADLINE, || {
                (fs::read_to_string(&name).ok()?.trim() == "sleep").then_some(())
            })
            .unwrap();
            child
        });
        let mut child = thread.join().unwrap();
        let status = wait_for("the child to end", START_DEADLINE, || child.try_wait().unwrap());
        if status.is_err() {
            child.kill().unwrap();
        }
        assert_eq!(describe(status.unwrap()), "signal 15");
    }
}
