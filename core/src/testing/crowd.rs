//! Several processes of one name, and the acceptor that they dial.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::joint::whole_frame;
use crate::auth::StaticToken;
use crate::error::LinkError;
use crate::event::{LinkCommand, LinkId};
use crate::grid::GridState;
use crate::link::{LinkState, check_connect};
use crate::node::Node;
use crate::peer::Peer;
use crate::time::{Instant, Now};
use crate::wire::Timestamp;

const DIALLER: &str = "http://127.0.0.1:9101";
const ACCEPTOR: &str = "http://127.0.0.1:9102";

/// One acceptor and processes that all use the name of the one peer that it knows. Frames take
/// no time.
#[derive(Debug)]
pub struct Crowd {
    /// The current moment.
    pub now: Instant,
    /// Reasons that the acceptor has refused a process with, each with its number and time.
    pub refused: Vec<(usize, Instant, String)>,
    acceptor: GridState,
    processes: Vec<Process>,
}

#[derive(Debug)]
struct Process {
    grid: GridState,
    running: bool,
    dials: Vec<Instant>,
    /// The link as the process numbers it, and as the acceptor does.
    links: [Option<LinkId>; 2],
    to_process: VecDeque<Bytes>,
    to_acceptor: VecDeque<Bytes>,
}

impl Process {
    fn peer(&mut self) -> &mut Peer {
        self.grid.peer_mut(ACCEPTOR).expect("configured")
    }
}

impl Crowd {
    /// The acceptor, started, and `count` processes, not started.
    pub fn new(count: usize) -> Self {
        let now = Instant::from_millis(1000);
        let mut crowd = Self {
            now,
            refused: Vec::new(),
            acceptor: grid(ACCEPTOR, 100, now),
            processes: Vec::new(),
        };
        crowd.processes.extend((0..count).map(|number| Process {
            grid: grid(DIALLER, number as u8, now),
            running: false,
            dials: Vec::new(),
            links: [None, None],
            to_process: VecDeque::new(),
            to_acceptor: VecDeque::new(),
        }));
        let now = crowd.clocks();
        crowd.acceptor.start(now);
        crowd
    }

    fn clocks(&self) -> Now {
        let wall = Timestamp { seconds: 1_795_230_600, nanos: 0 };
        let since = self.now.since(Instant::ZERO);
        Now { instant: self.now, wall: wall.saturating_add(since) }
    }

    /// A process starts.
    pub fn start(&mut self, number: usize) {
        let now = self.clocks();
        self.processes[number].running = true;
        self.processes[number].grid.start(now);
        self.drive();
    }

    /// A process is killed; the acceptor sees its connection closed.
    pub fn kill(&mut self, number: usize) {
        let now = self.clocks();
        let process = &mut self.processes[number];
        process.running = false;
        process.links[0] = None;
        if let Some(link) = process.links[1].take() {
            self.peer().handle_link_down(now, link, LinkError::ClosedByPeer, 0);
        }
        self.drive();
    }

    /// The connection of a process breaks on both sides.
    pub fn cut(&mut self, number: usize) {
        let now = self.clocks();
        let error = LinkError::Transport("cut".into());
        let process = &mut self.processes[number];
        let [own, accepted] = std::mem::take(&mut process.links);
        if let Some(link) = own {
            process.peer().handle_link_down(now, link, error.clone(), 0);
        }
        if let Some(link) = accepted {
            self.peer().handle_link_down(now, link, error, 0);
        }
        self.drive();
    }

    /// The process that is connected, as the processes see it.
    pub fn connected(&mut self) -> Vec<usize> {
        let is_up = |process: &mut Process| {
            process.running && process.peer().state() == LinkState::Connected
        };
        let processes = self.processes.iter_mut().enumerate();
        processes.filter_map(|(number, process)| is_up(process).then_some(number)).collect()
    }

    /// When a process has dialled.
    pub fn dials(&self, number: usize) -> &[Instant] {
        &self.processes[number].dials
    }

    /// Lets `duration` pass.
    pub fn advance(&mut self, duration: Duration) {
        let until = self.now.after(duration);
        self.drive();
        loop {
            let running = self.processes.iter().filter(|process| process.running);
            let grids = running.map(|process| &process.grid).chain([&self.acceptor]);
            let next = grids.filter_map(|grid| grid.poll_timeout(self.now)).map(|(at, _)| at).min();
            self.now = next.unwrap_or(until).max(self.now).min(until);
            let now = self.clocks();
            self.acceptor.handle_timeout(now);
            for process in self.processes.iter_mut().filter(|process| process.running) {
                process.grid.handle_timeout(now);
            }
            self.drive();
            if self.now == until {
                return;
            }
        }
    }

    fn peer(&mut self) -> &mut Peer {
        self.acceptor.peer_mut(DIALLER).expect("configured")
    }

    fn drive(&mut self) {
        while self.step() {}
    }

    fn step(&mut self) -> bool {
        let mut progress = false;
        for number in 0..self.processes.len() {
            if self.processes[number].running {
                progress |= self.step_process(number);
            }
            progress |= self.step_accepted(number);
        }
        while self.peer().poll_event().is_some() || self.peer().poll_call().is_some() {}
        while let Some(command) = self.peer().poll_command() {
            progress = true;
            if let LinkCommand::Close { link, .. } = command {
                self.close_accepted(link);
            }
        }
        progress
    }

    fn step_process(&mut self, number: usize) -> bool {
        let now = self.clocks();
        let process = &mut self.processes[number];
        let mut progress = false;
        while process.peer().poll_event().is_some() || process.peer().poll_call().is_some() {}
        while let Some(command) = process.peer().poll_command() {
            progress = true;
            match command {
                LinkCommand::Dial { link } => {
                    process.dials.push(now.instant);
                    process.to_process.clear();
                    process.to_acceptor.clear();
                    process.links = [Some(link), None];
                    process.peer().handle_upgraded(now, link);
                }
                LinkCommand::Close { .. } => process.links[0] = None,
            }
        }
        let Some(link) = process.links[0] else { return progress };
        if let Some(transmit) = process.peer().poll_transmit(now, link) {
            let frame = whole_frame(transmit, process.peer());
            process.to_acceptor.push_back(frame);
            progress = true;
        }
        if let Some(frame) = process.to_process.pop_front() {
            process.peer().handle_frame(now, link, &frame);
            progress = true;
        }
        progress
    }

    fn step_accepted(&mut self, number: usize) -> bool {
        let now = self.clocks();
        let node = self.acceptor.node().clone();
        let peer = self.acceptor.peer_mut(DIALLER).expect("configured");
        let process = &mut self.processes[number];
        let mut progress = false;
        if let Some(frame) = process.to_acceptor.pop_front() {
            progress = true;
            if let Some(link) = process.links[1] {
                peer.handle_frame(now, link, &frame);
            } else {
                let verdict = check_connect(&node, now, &frame, |name| name == DIALLER);
                match verdict.and_then(|hello| peer.handle_hello(now, &hello, now.instant)) {
                    Ok(link) => process.links[1] = Some(link),
                    Err(reason) => {
                        process.to_process.push_back(Peer::refusal(node.instance, &reason).into());
                        self.refused.push((number, now.instant, reason.reason));
                    }
                }
            }
        }
        if let Some(link) = process.links[1]
            && let Some(transmit) = peer.poll_transmit(now, link)
        {
            process.to_process.push_back(whole_frame(transmit, peer));
            progress = true;
        }
        progress
    }

    fn close_accepted(&mut self, link: LinkId) {
        let now = self.clocks();
        for process in &mut self.processes {
            if process.links[1] == Some(link) {
                process.links[1] = None;
                if let Some(own) = process.links[0].take() {
                    process.peer().handle_link_down(now, own, LinkError::ClosedByPeer, 0);
                }
            }
        }
    }
}

fn grid(name: &str, instance: u8, now: Instant) -> GridState {
    let token = StaticToken::new("secret-token").expect("a token");
    let node = Node::new(name, [instance; 16], Arc::new(token));
    let names = [DIALLER.to_owned(), ACCEPTOR.to_owned()];
    let seed = u64::from(instance) + 1;
    GridState::new(Arc::new(node), &names, seed, 0, now).expect("the settings work")
}
