//! A gateway that is a process of its own, so that it can be killed as the kernel kills.

use std::{
    net::SocketAddr,
    process::{Child, Stdio},
};

use super::{World, eventually::eventually, visitor::Visitor};

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
        let free = || std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let address = SocketAddr::from(([127, 0, 0, 1], port.unwrap_or_else(free)));
        let mut command = self.binary();
        command.env("CODER_HTTP_ADDRESS", address.to_string()).env("CODER_PROMETHEUS_ENABLE", "false");
        let child = command.arg("serve").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        Process { address, child }
    }
}

impl Process {
    pub fn id(&self) -> u32 {
        self.child.id()
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
