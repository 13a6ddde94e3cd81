//! A call that lasts: who hangs up, what is said on the screen meanwhile, and how it ends.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use proto::{ServerAddress, text::one_line};
use tokio::{sync::watch, task::JoinHandle, time::timeout};

use super::signals::Signals;
use super::tone_pair::TonePair;
use super::{Plan, judge, judge_written, worth};
use crate::{
    args::CallArgs,
    clock::Clock,
    device::simulated::virtual_speaker::Ear,
    engine::{
        echo_control::{EchoMemory, control::Learned},
        engine_thread::EngineThread,
        near_end_choice::EchoChoice,
        recent_log::RecentLog,
        uplink::Uplink,
    },
    recording::Recording,
    report::{Report, call_status::CallStatus},
    session::{Line, NOTHING_COMES, SessionEnd, SessionStatus, never_answered},
    ui::{Key, PushToTalk, Ui, screen::Panel},
};

/// How often the screen is renewed, and the ends of a call are looked for.
const LOOK: Duration = Duration::from_millis(100);

/// The longest we wait for what is still due, and then for it to be played.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Patience {
    last_answers: Duration,
    last_sound: Duration,
}

/// Where the call is over by itself, as a file that was sent to its end: its answers are what it was for.
const TO_THE_END: Patience = Patience {
    last_answers: Duration::from_secs(6),
    last_sound: Duration::from_secs(2),
};

/// Where a person hangs up, who is to be rid of the call within a second, whatever the far end does.
const HUNG_UP: Patience = Patience {
    last_answers: Duration::from_millis(500),
    last_sound: Duration::from_millis(200),
};

/// What has been said on the screen, so that only changes are.
#[derive(Default)]
pub(super) struct Said {
    line: Line,
    /// Notices about devices.
    notices: usize,
    /// Whether the echo canceller is on, and why.
    echo: String,
    /// What was found out about echoes, and kept.
    learned: usize,
    reconnects: u64,
    /// Who came and went.
    parties: usize,
    /// That what arrives is no sound.
    garbage: bool,
    /// That the recording stopped.
    recording_stopped: bool,
    /// That the file of what is played stopped.
    sink_stopped: bool,
}

/// A call with all its parts.
pub(super) struct RunningCall {
    pub(super) clock: Clock,
    pub(super) duration: Option<Duration>,
    pub(super) source_finished: Option<Arc<AtomicBool>>,
    pub(super) uplink: Arc<Uplink>,
    pub(super) engine: EngineThread,
    pub(super) recording: Option<Recording>,
    /// What is played, where that is a file.
    pub(super) sink_file: Option<Recording>,
    pub(super) session_status: watch::Receiver<SessionStatus>,
    pub(super) session: JoinHandle<SessionEnd>,
    pub(super) ui: Ui,
    pub(super) push_to_talk: PushToTalk,
    pub(super) signals: Signals,
    pub(super) said: Said,
    /// Of a synthetic call with others.
    pub(super) tone_pair: Option<TonePair>,
    /// Whether others are expected in the call.
    pub(super) is_with_others: bool,
    /// Whether that is measured, and so worth a word.
    pub(super) decides_on_echo: bool,
}

impl RunningCall {
    /// Says who is called, and to a person which keys there are.
    pub(super) fn greet(&mut self, args: &CallArgs, plan: &Plan) {
        let call_id = one_line(&plan.call_id);
        self.ui
            .say(&format!("calling {} (call {call_id})", args.server));
        if let Some(path) = &args.record {
            let shown = path.display();
            self.ui.say(&format!(
                "recording to {shown}: you left, the far end right"
            ));
        }
        if !self.ui.is_live() {
            return;
        }
        if args.has_real_devices() && args.aec == EchoChoice::Off {
            self.ui
                .say("use headphones: with --aec off nobody removes the loudspeaker's echo");
        }
        self.ui.say(match self.is_with_others {
            true => "press ? for the keys, m to mute, h to hold, q to hang up",
            false => "press ? for the keys, m to mute, q to hang up",
        });
    }

    /// Until somebody hangs up on `server` or the line is gone for good, and all that is due was heard.
    pub(super) async fn run(&mut self, server: &ServerAddress) -> SessionEnd {
        let mut looks = tokio::time::interval(LOOK);
        let patience = loop {
            tokio::select! {
                end = &mut self.session => return self.play_out(ended(end), TO_THE_END).await,
                () = self.signals.recv() => break HUNG_UP,
                key = self.ui.key() => {
                    if key == Key::HangUp {
                        break HUNG_UP;
                    }
                    self.obey(key);
                }
                _ = looks.tick() => {
                    self.look();
                    if self.is_over() {
                        break TO_THE_END;
                    }
                }
            }
        };
        self.uplink.close();
        let end = tokio::select! {
            end = &mut self.session => ended(end),
            // We hung up; that the server goes on is not our loss.
            _ = timeout(patience.last_answers, self.signals.asked_again(&mut self.ui)) => {
                self.session.abort();
                unanswered(&self.session_status.borrow(), server)
            }
        };
        self.play_out(end, patience).await
    }

    /// Lets the engine play what it still has.
    async fn play_out(&mut self, end: SessionEnd, patience: Patience) -> SessionEnd {
        let mut status = self.engine.status();
        let played = async { while status.changed().await.is_ok() {} };
        tokio::select! {
            () = played => {}
            _ = timeout(patience.last_sound, self.signals.asked_again(&mut self.ui)) => {}
        }
        self.ui.close().await;
        end
    }

    fn obey(&mut self, key: Key) {
        let control = self.engine.control();
        match key {
            // Whoever calls this knows better what to do, and the screen itself stands back.
            Key::HangUp | Key::Suspend => {}
            Key::Mute | Key::Talk | Key::TalkOrMute | Key::TalkEnd => {
                let is_muted = self.push_to_talk.muted_after(key, control.is_muted());
                self.uplink.set_muted(is_muted);
                control.set_muted(is_muted);
            }
            Key::Hold if self.is_alone() => self.ui.say("nobody else is in this call"),
            Key::Hold => {
                let is_on_hold = !self.uplink.is_on_hold();
                self.uplink.set_on_hold(is_on_hold);
                // What the server does not know yet nobody is to hear.
                control.set_on_hold(is_on_hold);
                self.ui.say(match is_on_hold {
                    true => "on hold: you hear nobody, and nobody hears you; h: back",
                    false => "back from hold",
                });
            }
            Key::Dtmf(digit) => {
                let is_told = !self.is_alone() && self.uplink.press(digit);
                self.ui.say(&match is_told {
                    true => format!("you pressed {digit}"),
                    false => format!("{digit} was not told: nobody else is in this call"),
                });
            }
            Key::Louder => control.change_volume(1),
            Key::Quieter => control.change_volume(-1),
            Key::Details => self.ui.toggle(Panel::Details),
            Key::Help => self.ui.toggle(Panel::Keys),
        }
    }

    /// Whether nobody else is in the call, nor expected.
    fn is_alone(&self) -> bool {
        !self.is_with_others && self.session_status.borrow().parties.others().is_empty()
    }

    fn is_over(&self) -> bool {
        let time_is_up = self.duration.is_some_and(|most| self.clock.now() >= most);
        let source_finished = self
            .source_finished
            .as_ref()
            .is_some_and(|finished| finished.load(Ordering::Relaxed));
        time_is_up
            || (source_finished && self.duration.is_none())
            || self.engine.status().borrow().failure.is_some()
    }

    fn look(&mut self) {
        let status = self.status();
        if let Some(pair) = &self.tone_pair {
            pair.follow(&status.session.parties);
        }
        self.keep_what_was_learned(&status.engine.learned);
        self.say_changes(&status);
        self.say_recording_stopped();
        self.ui.show(status);
    }

    /// For the next call between the same devices.
    fn keep_what_was_learned(&mut self, learned: &RecentLog<Learned>) {
        for new in learned.after(self.said.learned).iter().cloned() {
            tokio::task::spawn_blocking(move || {
                if let Err(error) = EchoMemory::store(&new.pair, new.path) {
                    tracing::debug!("what is known of echoes cannot be kept: {error}");
                }
            });
        }
        self.said.learned = learned.count();
    }

    fn say_recording_stopped(&mut self) {
        let said = &mut self.said;
        for (file, said) in [
            (&self.recording, &mut said.recording_stopped),
            (&self.sink_file, &mut said.sink_stopped),
        ] {
            let failure = file.as_ref().and_then(|file| file.status().failure);
            if let Some(failure) = failure.filter(|_| !*said) {
                *said = true;
                self.ui
                    .say(&format!("not all is recorded: {failure}; the call goes on"));
            }
        }
    }

    fn status(&self) -> CallStatus {
        CallStatus {
            elapsed: self.clock.now(),
            engine: self.engine.status().borrow().clone(),
            session: self.session_status.borrow().clone(),
            dropped: self.uplink.dropped(),
            on_hold: self.uplink.is_on_hold(),
            recording: self.recording.as_ref().is_some_and(Recording::is_running),
        }
    }

    fn say_changes(&mut self, status: &CallStatus) {
        let line = &status.session.line;
        if *line != self.said.line {
            match (&self.said.line, line) {
                (Line::Connecting, Line::Connected) => self.ui.say("connected"),
                (_, Line::Connected) => self.ui.say("the line is back"),
                (_, Line::Stalled) => self
                    .ui
                    .say("the line has stalled; a second one is tried beside it"),
                (Line::Lost { .. }, Line::Lost { .. }) => {}
                (_, Line::Lost { why, .. }) => self
                    .ui
                    .say(&format!("the line is lost: {why}; trying to get it back")),
                _ => {}
            }
            if let Line::Lost {
                attempt: Some(why), ..
            } = line
            {
                self.ui.say(&format!("still trying: {why}"));
            }
            self.said.line = line.clone();
        } else if status.session.reconnects != self.said.reconnects {
            // So quick that it was never seen otherwise.
            self.ui
                .say("the line had stalled; the call goes on on a second one");
        }
        self.said.reconnects = status.session.reconnects;
        let news = &status.session.parties.news;
        // In a call of one's own that echoes nobody else is expected.
        if self.is_with_others
            || !status.session.parties.others().is_empty()
            || self.said.parties > 0
        {
            for news in news.after(self.said.parties) {
                self.ui.say(news);
            }
            self.said.parties = news.count();
        }
        let garbage = status.engine.garbage.muted;
        if garbage != self.said.garbage {
            self.ui.say(match garbage {
                true => "what the server sends is no sound but noise: it is muted",
                false => "the server sends sound again",
            });
            self.said.garbage = garbage;
        }
        let notices = &status.engine.device_notices;
        for notice in notices.after(self.said.notices) {
            self.ui.say(&notice.to_string());
        }
        self.said.notices = notices.count();
        let echo = &status.engine.echo;
        if self.decides_on_echo && echo.reason != "undecided" && echo.message != self.said.echo {
            self.ui.say(&echo.message);
            self.said.echo.clone_from(&echo.message);
        }
    }

    /// What is left of it, once its devices are let go.
    pub(super) async fn report(
        self,
        args: &CallArgs,
        plan: &Plan,
        end: &SessionEnd,
        ear: Option<&Ear>,
    ) -> Report {
        let duration = self.clock.now();
        let engine = self.engine.status().borrow().clone();
        let session = self.session_status.borrow().clone();
        // Ends the engine's thread: a file is written to its end before we say so.
        drop(self.engine);
        let worth = worth(&session);
        let [recording, sink] =
            [self.recording, self.sink_file].map(|file| file.map(|file| file.finish(worth)));
        let tone = ear.and_then(Ear::report).map(|(_, report)| report);
        let verdict = judge(args, plan, end, &engine, &session, ear);
        let verdict = judge_written(verdict, recording.as_ref());
        let verdict = judge_written(verdict, sink.as_ref());
        Report {
            verdict,
            server: args.server.to_string(),
            call_id: plan.call_id.clone(),
            format: plan.format.to_string(),
            frame_ms: args.frame.as_secs_f64() * 1e3,
            effects: plan.effects_wish(),
            duration,
            engine,
            session,
            dropped: self.uplink.dropped(),
            tone,
            virtual_line: None,
            recording,
            sink,
        }
    }
}

/// How a call ended whose far end did not answer when we hung up. That it goes on is not our loss,
/// but that nothing came from it any more is, or ever did.
fn unanswered(status: &SessionStatus, server: &ServerAddress) -> SessionEnd {
    match &status.line {
        Line::Connecting if !status.server_lives => never_answered(server),
        Line::Lost { why, attempt } => SessionEnd::Lost(attempt.as_ref().unwrap_or(why).clone()),
        Line::Stalled => SessionEnd::Lost(NOTHING_COMES.to_owned()),
        Line::Connecting | Line::Connected | Line::Ended => SessionEnd::Completed,
    }
}

fn ended(end: Result<SessionEnd, tokio::task::JoinError>) -> SessionEnd {
    end.unwrap_or_else(|error| SessionEnd::Lost(format!("a fault in the session: {error}")))
}
