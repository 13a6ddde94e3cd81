//! The names of what can be wrong, for programs. They stay; new ones may come.

use serde::Serialize;

/// What is wrong, in one word of `--json`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Fault {
    /// The audio server takes connections and does not answer.
    AudioServerFrozen,
    /// No audio server runs.
    AudioServerMissing,
    /// There is no device to speak into.
    NoMicrophone,
    /// There is no device to listen to.
    NoSpeaker,
    /// There are devices, and the system names none of them as its default.
    NoDefaultDevice,
    /// No device has the name that was asked for.
    NoSuchDevice,
    /// Another program keeps the device, or the system denies it.
    DeviceCannotOpen,
    /// The device speaks only a sample format that this program does not.
    UnsupportedSampleFormat,
    /// The device opened, and no sound flows.
    DeviceStalled,
    /// Sound was lost on its way to or from the device.
    SoundGaps,
    /// The speaker is muted in the system's mixer.
    OutputMuted,
    /// Its volume is zero there.
    OutputVolumeZero,
    /// Its volume is so low that a voice will hardly be heard.
    OutputVolumeLow,
    /// Nothing is plugged into the socket that sound goes to.
    OutputUnplugged,
    /// The microphone is muted in the system's mixer.
    MicrophoneMuted,
    /// Its volume is zero there.
    MicrophoneVolumeZero,
    /// Its volume is so low that a voice will hardly be heard.
    MicrophoneVolumeLow,
    /// Nothing is plugged into the socket that sound comes from.
    MicrophoneUnplugged,
    /// The microphone is what a speaker plays.
    MicrophoneIsMonitor,
    /// The microphone gives digital silence.
    MicrophoneSilent,
    /// The microphone reaches full scale.
    MicrophoneClips,
    /// Speech or noise hides whether the microphone hears the speaker.
    EchoNotMeasurable,
    /// The system gives no real-time threads.
    NoRealTimeThreads,
    /// No name server knows the server's name.
    UnknownServerName,
    /// Nobody listens at the server's port on this machine.
    ServerNotRunning,
    /// The server's machine refuses the connection.
    ServerRefusesConnection,
    /// The server's machine does not answer.
    ServerDoesNotAnswer,
    /// The network does not lead there.
    ServerUnreachable,
    /// Something listens there, and it speaks HTTP/1.
    ServerSpeaksHttp1,
    /// Something listens there, and it wants TLS.
    ServerWantsTls,
    /// Something listens there, and it speaks no gRPC.
    ServerIsNotGrpc,
    /// Something listens there, and says nothing.
    ServerSilent,
    /// The server says that it does not serve.
    ServerNotServing,
    /// The server does not tell its health.
    ServerHealthUnknown,
    /// It speaks gRPC, and offers no calls.
    ServerWithoutCalls,
    /// It offers calls, and would not have this one.
    CallRejected,
    /// The call brought no sound back.
    CallSilent,
    /// The call brought other sound back than was sent.
    CallSoundsWrong,
    /// The call was lost.
    CallLost,
    /// A check did not end in time.
    CheckTimedOut,
    /// The operating system refuses what every program needs.
    SystemExhausted,
    /// A fault of the softphone itself.
    Internal,
}
