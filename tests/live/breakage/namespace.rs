//! What only a mount namespace can give a test without touching the machine: a host table that forgets a name, and a disk
//! that is full or read-only.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use crate::kafka::terminate;
use crate::not_run::not_run;
use crate::vedette::text;

/// Whether this user may have namespaces; says loudly when not, and that is an error in CI.
pub fn are_there(what: &str) -> bool {
    let tried = Command::new("unshare").args(["-r", "-m", "mount", "-t", "tmpfs", "none", "/mnt"]).output();
    if tried.is_ok_and(|output| output.status.success()) {
        return true;
    }
    assert!(std::env::var_os("CI").is_none(), "{what}: mount namespaces are not allowed here, and this is CI");
    not_run(&format!("{what}; it needs mount namespaces (unshare -r -m)"));
    false
}

/// The host table of a process that is started by it.
pub struct HostTable {
    folder: tempfile::TempDir,
}

impl HostTable {
    pub fn new() -> HostTable {
        let table = HostTable { folder: tempfile::tempdir().expect("a temporary folder") };
        // Nobody listens there: a name that is not in the table is unknown at once.
        std::fs::write(table.path("resolv.conf"), "nameserver 127.0.0.1\noptions attempts:1 timeout:1\n")
            .expect("written");
        table.forget();
        table
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn know(&self, name: &str) {
        std::fs::write(self.path("hosts"), format!("127.0.0.1 localhost {name}\n")).expect("written");
    }

    pub fn forget(&self) {
        std::fs::write(self.path("hosts"), "127.0.0.1 localhost\n").expect("written");
    }

    /// To be put before a command.
    pub fn starter(&self) -> Vec<String> {
        let script = r#"mount --bind "$0" /etc/hosts && mount --bind "$1" /etc/resolv.conf && shift && exec "$@""#;
        let (hosts, resolv) = (self.path("hosts"), self.path("resolv.conf"));
        ["unshare", "-r", "-m", "sh", "-c", script, text(&hosts), text(&resolv)].map(str::to_owned).to_vec()
    }
}

/// A small disk in memory, mounted where only its keeper sees it; others go through `/proc`.
pub struct Disk {
    keeper: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    folder: tempfile::TempDir,
}

impl Disk {
    pub fn new(mib: u32) -> Disk {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let script = "while read -r line; do sh -c \"$line\" && echo done || echo failed; done";
        let mut keeper = Command::new("unshare")
            .args(["-r", "-m", "sh", "-c", script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare starts");
        let input = keeper.stdin.take().expect("its input is a pipe");
        let output = BufReader::new(keeper.stdout.take().expect("its output is a pipe"));
        let mut disk = Disk { keeper, input, output, folder };
        let at = text(disk.folder.path()).to_owned();
        disk.tell(&format!("mount -t tmpfs -o size={mib}m none {at}"));
        disk
    }

    fn tell(&mut self, command: &str) {
        writeln!(self.input, "{command}").expect("the keeper listens");
        let mut line = String::new();
        self.output.read_line(&mut line).expect("the keeper answers");
        assert_eq!(line, "done\n", "{command}");
    }

    /// As everybody else may name it.
    pub fn path(&self) -> PathBuf {
        let inside = self.folder.path().strip_prefix("/").expect("an absolute path");
        Path::new("/proc").join(self.keeper.id().to_string()).join("root").join(inside)
    }

    /// Nothing more can be written, to the last byte.
    pub fn fill(&self) {
        let mut file = std::fs::File::create(self.path().join("filler")).expect("a file");
        for size in [1 << 20, 1 << 12, 1] {
            while file.write_all(&vec![0; size]).is_ok() {}
        }
    }

    pub fn make_room(&self) {
        std::fs::remove_file(self.path().join("filler")).expect("the filler goes");
    }

    pub fn forbid_writing(&mut self, folder: &str) {
        let at = self.folder.path().join(folder);
        let at = text(&at);
        self.tell(&format!("mount --bind {at} {at} && mount -o remount,ro,bind {at}"));
    }

    pub fn allow_writing(&mut self, folder: &str) {
        let at = self.folder.path().join(folder);
        self.tell(&format!("umount -l {}", text(&at)));
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        terminate(&self.keeper);
        let _ = self.keeper.wait();
    }
}
