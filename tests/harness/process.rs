//! A gateway that is a process of its own, so that it can be killed as the kernel kills.

use std::{
    net::SocketAddr,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU16, Ordering},
};

use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};

use super::{World, eventually::eventually, visitor::Visitor};

/// A free port below those that the system gives to whoever asks for any, as all the other tests do: none of them takes it before
/// the process has it.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = 20_000 + u16::try_from(std::process::id() % 8_000).unwrap();
    loop {
        let port = first + NEXT.fetch_add(1, Ordering::Relaxed);
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

pub struct Process {
    pub address: SocketAddr,
    child: Child,
}

impl World {
    /// Starts one with the world's settings on `port`, or on any that is free, and waits until it can serve.
    pub async fn process(&self, port: Option<u16>) -> Process {
        let process = self.spawn_process(port);
        let visitor = Visitor::new(process.address);
        eventually("the process has its store and its provider", async || {
            let Some(reply) = visitor.try_send(http::Method::GET, "/oauth2/readyz", &[], "").await else { return false };
            let state = reply.json();
            state["store"] == "ok" && state["provider"] == "ok"
        })
        .await;
        process
    }

    /// The same without the wait.
    pub fn spawn_process(&self, port: Option<u16>) -> Process {
        self.spawn_limited(port, None)
    }

    /// The same for a process that may open so many files, connections among them.
    pub fn spawn_limited(&self, port: Option<u16>, max_files: Option<u32>) -> Process {
        let address = SocketAddr::from(([127, 0, 0, 1], port.unwrap_or_else(free_port)));
        let binary = self.binary();
        // A write that meets the limit of a file's size fails, as on a full disk, instead of ending the process.
        let mut command = Command::new("/bin/sh");
        let limit = max_files.map(|max| format!("ulimit -n {max}; ")).unwrap_or_default();
        command.args(["-c", &format!("{limit}trap '' XFSZ; exec \"$0\" serve")]).arg(binary.get_program()).env_clear();
        command.envs(binary.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.env("CODER_HTTP_ADDRESS", address.to_string()).env("CODER_PROMETHEUS_ENABLE", "false");
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        Process { address, child }
    }
}

impl Process {
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Has every write to a file fail, as on a full disk, or lets them succeed again. It is the process's own limit, because a
    /// file system of a test's own cannot be mounted everywhere.
    pub fn set_disk_full(&self, is_full: bool) {
        let id = Pid::from_raw(self.id().try_into().unwrap());
        prlimit(id, Resource::Fsize, Rlimit { current: is_full.then_some(0), maximum: None }).unwrap();
    }

    /// SIGTERM: whether it ends with 0 within a minute.
    pub async fn stop(&mut self) -> bool {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        let ended = async {
            loop {
                if let Some(status) = self.child.try_wait().unwrap() {
                    return status.success();
                }
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(60), ended).await.unwrap_or(false)
    }

    /// SIGKILL: nothing is finished, nothing is written.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}
