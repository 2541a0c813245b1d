//! A server of a test's own, to be killed and filled up: from the programs in the folder `DEEDBOX_POSTGRES_BIN`.

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "helpers of tests fail by panicking, and say what they skip"
)]

use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use deedbox_store::conformance::Faults;
use deedbox_store::postgres::Config;

use crate::server::execute;

/// How much the small device holds.
const SMALL: &str = "size=160m,mode=0777";

pub(crate) struct Cluster {
    bin: PathBuf,
    folder: tempfile::TempDir,
    /// PostgreSQL refuses to run as root.
    root: bool,
    /// Whether a small device is mounted.
    small: bool,
    turn: AtomicU32,
    /// More of the server's settings.
    settings: String,
}

impl Cluster {
    /// Makes a cluster and starts it; `None`, and a line, where there are no programs.
    pub(crate) fn new() -> Option<Self> {
        let Some(bin) = std::env::var_os("DEEDBOX_POSTGRES_BIN") else {
            eprintln!("skipped: DEEDBOX_POSTGRES_BIN names no folder with PostgreSQL's programs");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        let root = std::fs::metadata(folder.path()).unwrap().uid() == 0;
        if root {
            assert!(run("chown", &["postgres", text(folder.path())]));
        }
        let mut cluster = Self {
            bin: bin.into(),
            folder,
            root,
            small: false,
            turn: AtomicU32::new(0),
            settings: "-c listen_addresses=".to_owned(),
        };
        let data = cluster.data();
        let words = ["-D", text(&data), "-U", "deedbox", "-A", "trust", "--no-sync", "--no-instructions"];
        assert!(cluster.program("initdb", &words), "initdb");
        cluster.start();
        let small = cluster.small();
        std::fs::create_dir(&small).unwrap();
        // a container may not be allowed to mount
        cluster.small = run("mount", &["-t", "tmpfs", "-o", SMALL, "tmpfs", text(&small)]);
        if cluster.small {
            assert!(run("chown", &["postgres", text(&small)]));
            execute(&cluster.config(), &[format!("CREATE TABLESPACE small LOCATION '{}'", small.display())]);
        } else {
            eprintln!("skipped: no device to fill up, as mounting one is not allowed");
        }
        Some(cluster)
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn small(&self) -> PathBuf {
        self.folder.path().join("small")
    }

    /// The folder of everything this server writes.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Where the small device is, if there is one.
    pub(crate) fn tablespace(&self) -> &str {
        if self.small { " TABLESPACE small" } else { "" }
    }

    pub(crate) fn config(&self) -> Config {
        let mut config = Config::new();
        config.host_path(self.folder.path()).user("deedbox").dbname("postgres");
        config
    }

    fn program(&self, name: &str, words: &[&str]) -> bool {
        let path = self.bin.join(name);
        if self.root {
            let mut all = vec!["-u", "postgres", "--", text(&path)];
            all.extend(words);
            run("runuser", &all)
        } else {
            run(text(&path), words)
        }
    }

    pub(crate) fn start(&self) {
        let (data, log) = (self.data(), self.folder.path().join("log"));
        let options = format!(
            "{} -c unix_socket_directories={} -c max_connections=200 -c deadlock_timeout=200ms",
            self.settings,
            self.folder.path().display()
        );
        // what a killed server left behind dies a little later
        for _ in 0..100 {
            if self.program("pg_ctl", &["-D", text(&data), "-l", text(&log), "-o", &options, "-w", "-s", "start"]) {
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("the server does not start: {}", std::fs::read_to_string(&log).unwrap_or_default());
    }

    /// Starts anew, with a port on loopback and whatever else.
    pub(crate) fn listen(&mut self, port: u16, more: &str) {
        self.stop();
        self.settings = format!("-c listen_addresses=127.0.0.1 -c port={port} {more}");
        self.start();
    }

    /// A file that the server alone may read.
    pub(crate) fn guard(&self, file: &Path) {
        assert!(!self.root || run("chown", &["postgres", text(file)]));
        assert!(run("chmod", &["600", text(file)]));
    }

    /// Stops as a crash does: without a checkpoint.
    fn stop(&self) {
        let data = self.data();
        let _ = self.program("pg_ctl", &["-D", text(&data), "-m", "immediate", "-s", "-w", "stop"]);
    }

    fn kill(&self) {
        let pid = std::fs::read_to_string(self.data().join("postmaster.pid")).unwrap();
        assert!(run("kill", &["-9", pid.lines().next().unwrap()]));
    }
}

impl Faults for Cluster {
    fn cut(&self) -> bool {
        match self.turn.fetch_add(1, Ordering::Relaxed) % 3 {
            0 => {
                let others =
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'deedbox'";
                execute(&self.config(), &[others.to_owned()]);
            }
            1 => {
                self.stop();
                self.start();
            }
            _ => {
                self.kill();
                self.start();
            }
        }
        true
    }

    fn fill(&self) -> bool {
        self.small && fill(&self.small())
    }

    fn free(&self) {
        let _ = std::fs::remove_file(self.small().join("filler"));
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.stop();
        if self.small {
            let _ = run("umount", &[text(&self.small())]);
        }
    }
}

/// Fills a device up to its last byte.
pub(crate) fn fill(folder: &Path) -> bool {
    let mut file = std::fs::File::create(folder.join("filler")).unwrap();
    for length in [1 << 20, 1 << 12, 1] {
        let bytes = vec![0x66; length];
        while file.write_all(&bytes).is_ok() {}
    }
    true
}

/// Mounts a small device, until it is dropped.
pub(crate) struct Device(pub(crate) tempfile::TempDir);

impl Device {
    pub(crate) fn new() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mounted = run("mount", &["-t", "tmpfs", "-o", SMALL, "tmpfs", text(folder.path())]);
        if !mounted {
            eprintln!("skipped: no device to fill up, as mounting one is not allowed");
        }
        mounted.then_some(Self(folder))
    }
}

impl Faults for Device {
    fn cut(&self) -> bool {
        false
    }

    fn fill(&self) -> bool {
        fill(self.0.path())
    }

    fn free(&self) {
        let _ = std::fs::remove_file(self.0.path().join("filler"));
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        let _ = run("umount", &["-l", text(self.0.path())]);
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

pub(crate) fn run(program: &str, words: &[&str]) -> bool {
    let mut command = Command::new(program);
    command.args(words).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}
