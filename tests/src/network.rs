//! A real network with a real outage: three network namespaces in a row, the middle one a router
//! that can stop forwarding. TCP on both sides then backs off as it does anywhere.

use std::{
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

use crate::{Process, skip};

/// Where the far side is reached from the near one.
pub const FAR_SIDE: Ipv4Addr = Ipv4Addr::new(10, 213, 2, 2);

/// The two sides and the router between them. Gone when dropped.
pub struct Network {
    name: String,
}

impl Network {
    /// Sets it up; `None`, with the reason printed, where that is not permitted or not possible.
    ///
    /// # Panics
    ///
    /// When it must not be skipped, or when a step fails half-way.
    pub fn set_up() -> Option<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let network = Self {
            // A network device's name holds fifteen characters.
            name: format!("ln{}x{number}", std::process::id()),
        };
        if !ip(&["-V"]) {
            skip("this test needs ip (package iproute2); script/setup --tests installs it");
            return None;
        }
        if !ip(&["netns", "add", &network.near()]) {
            skip("this test makes network namespaces, which takes root and a kernel that has them");
            return None;
        }
        network.build();
        Some(network)
    }

    /// Starts a program on the near side.
    ///
    /// # Panics
    ///
    /// When it cannot be started.
    pub fn start_near(&self, program: &str, args: &[&str]) -> Process {
        start(&self.near(), program, args)
    }

    /// The same on the far side.
    ///
    /// # Panics
    ///
    /// When it cannot be started.
    pub fn start_far(&self, program: &str, args: &[&str]) -> Process {
        start(&self.far(), program, args)
    }

    /// On the near side this is all that the hosts file says from now on, in its own format.
    ///
    /// # Panics
    ///
    /// When it cannot be written.
    pub fn near_hosts(&self, lines: &str) {
        // `ip netns exec` lays what is here over /etc: a file that is there when a program starts, and
        // that is written to in place.
        let folder = self.near_etc();
        std::fs::create_dir_all(&folder).expect("a folder of the namespace can be made");
        std::fs::write(folder.join("hosts"), lines).expect("its hosts file can be written");
        // Nobody to ask beyond: what the file does not know is not known, and that at once.
        std::fs::write(folder.join("nsswitch.conf"), "hosts: files\n").expect("written likewise");
    }

    /// Nothing goes through from now on, and nobody is told.
    ///
    /// # Panics
    ///
    /// When the router does not obey.
    pub fn cut(&self) {
        self.forward(false);
    }

    /// Everything goes through again.
    ///
    /// # Panics
    ///
    /// When the router does not obey.
    pub fn mend(&self) {
        self.forward(true);
    }

    fn build(&self) {
        let (near, router, far) = (self.near(), self.router(), self.far());
        for namespace in [&router, &far] {
            must(&["netns", "add", namespace]);
        }
        for (side, net, namespace) in [("n", 1, &near), ("f", 2, &far)] {
            let end = format!("{}{side}", self.name);
            let middle = format!("{}r{side}", self.name);
            must(&[
                "link", "add", &end, "netns", namespace, "type", "veth", "peer", "name", &middle,
                "netns", &router,
            ]);
            let host = format!("10.213.{net}.2/24");
            let gateway = format!("10.213.{net}.1");
            must(&["-n", namespace, "addr", "add", &host, "dev", &end]);
            must(&[
                "-n",
                &router,
                "addr",
                "add",
                &format!("{gateway}/24"),
                "dev",
                &middle,
            ]);
            must(&["-n", namespace, "link", "set", &end, "up"]);
            must(&["-n", namespace, "link", "set", "lo", "up"]);
            must(&["-n", &router, "link", "set", &middle, "up"]);
            must(&["-n", namespace, "route", "add", "default", "via", &gateway]);
        }
        self.mend();
    }

    fn forward(&self, yes: bool) {
        let write = format!("echo {} > /proc/sys/net/ipv4/ip_forward", u8::from(yes));
        must(&["netns", "exec", &self.router(), "sh", "-c", &write]);
    }

    fn near_etc(&self) -> PathBuf {
        Path::new("/etc/netns").join(self.near())
    }

    fn near(&self) -> String {
        format!("{}-near", self.name)
    }

    fn router(&self) -> String {
        format!("{}-router", self.name)
    }

    fn far(&self) -> String {
        format!("{}-far", self.name)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for namespace in [self.near(), self.router(), self.far()] {
            ip(&["netns", "del", &namespace]);
        }
        // There only if names were set.
        let _ = std::fs::remove_dir_all(self.near_etc());
    }
}

fn start(namespace: &str, program: &str, args: &[&str]) -> Process {
    let path = crate::bin(program);
    let path = path.to_str().expect("a path of UTF-8");
    // It becomes the program itself: signals reach it.
    let all = [&["netns", "exec", namespace, path], args].concat();
    Process::start("ip", &all, &[])
}

fn must(args: &[&str]) {
    assert!(ip(args), "ip {} failed", args.join(" "));
}

fn ip(args: &[&str]) -> bool {
    let status = Command::new("ip")
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    status.is_ok_and(|status| status.success())
}
