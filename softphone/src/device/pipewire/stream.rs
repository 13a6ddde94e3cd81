//! One stream of PipeWire. Its session manager connects it to the device that it is meant for.

#![allow(unsafe_code)] // a C interface

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::io;
use std::ptr;
use std::slice;
use std::sync::mpsc;
use std::time::Duration;

use super::format::raw_audio;
use super::library::{
    ANY_ID, DIRECTION_INPUT, DIRECTION_OUTPUT, FLAG_AUTOCONNECT, FLAG_MAP_BUFFERS, FLAG_RT_PROCESS,
    Functions, Opaque, PwTime, STATE_ERROR, STATE_STREAMING, STATE_UNCONNECTED, StreamEvents,
    functions,
};
use crate::device::Direction;

/// How long a session manager may take to connect a stream; it needs some 30 ms.
const CONNECT_LIMIT: Duration = Duration::from_secs(2);
const BYTES: usize = size_of::<f32>();

/// What to open.
#[derive(Debug, Clone)]
pub(in crate::device) struct StreamConfig {
    pub(in crate::device) direction: Direction,
    /// Name of the node; with `.monitor` at its end what a sink plays.
    pub(in crate::device) target: String,
    pub(in crate::device) rate_hz: u32,
    /// 1 or 2.
    pub(in crate::device) channels: u16,
    /// Samples per channel that should be handed over at a time. The graph takes the shortest that
    /// any of its streams asks for, as a power of two and within its own limits.
    pub(in crate::device) period: u32,
}

/// Takes or fills the interleaved samples of one period, on the graph's own thread. The time is
/// that between this call and the device's edge, for the first of them.
type Process = Box<dyn FnMut(&mut [f32], Duration) + Send>;

/// A stream that plays or records until it is dropped.
pub(in crate::device) struct PipeWireStream {
    functions: &'static Functions,
    thread_loop: *mut Opaque,
    stream: *mut Opaque,
    handler: *mut Handler,
    _events: Box<StreamEvents>,
}

// SAFETY: the library's objects may be used from any thread while its own loop does not run; it
// runs between `start` and `stop`, and nothing is called between them but from its callbacks.
unsafe impl Send for PipeWireStream {}

/// What the library's callbacks work on.
struct Handler {
    functions: &'static Functions,
    stream: *mut Opaque,
    direction: Direction,
    channels: usize,
    process: Process,
    on_fault: Box<dyn Fn() + Send>,
    started_tx: mpsc::Sender<Result<(), String>>,
}

impl PipeWireStream {
    /// Opens a stream and returns when it runs. `on_fault` is called when it ends by itself.
    ///
    /// # Errors
    /// What is wrong, in words; also when nobody connects it within two seconds.
    pub(in crate::device) fn open(
        config: &StreamConfig,
        process: Process,
        on_fault: Box<dyn Fn() + Send>,
    ) -> Result<Self, String> {
        let functions = functions().ok_or("libpipewire is not installed")?;
        let (started_tx, started_rx) = mpsc::channel();
        let stream = Self::create(functions, config, |stream| Handler {
            functions,
            stream,
            direction: config.direction,
            channels: config.channels.into(),
            process,
            on_fault,
            started_tx,
        })?;
        stream.connect(config)?;
        match started_rx.recv_timeout(CONNECT_LIMIT) {
            Ok(started) => started.map(|()| stream),
            Err(_) => Err("PipeWire connected the stream to no device".to_owned()),
        }
    }

    fn create(
        functions: &'static Functions,
        config: &StreamConfig,
        handler: impl FnOnce(*mut Opaque) -> Handler,
    ) -> Result<Self, String> {
        let events = Box::new(StreamEvents {
            version: 0,
            destroy: None,
            state_changed: Some(on_state_changed),
            control_info: None,
            io_changed: None,
            param_changed: None,
            add_buffer: None,
            remove_buffer: None,
            process: Some(on_process),
            drained: None,
        });
        let handler = Box::into_raw(Box::new(handler(ptr::null_mut())));
        let mut this = Self {
            functions,
            thread_loop: ptr::null_mut(),
            stream: ptr::null_mut(),
            handler,
            _events: events,
        };
        let failed = || format!("PipeWire: {}", io::Error::last_os_error());
        // SAFETY: the loop, the events and the handler live until `drop` has destroyed the stream.
        unsafe {
            this.thread_loop = (functions.pw_thread_loop_new)(c"pipewire".as_ptr(), ptr::null());
            if this.thread_loop.is_null() {
                return Err(failed());
            }
            this.stream = (functions.pw_stream_new_simple)(
                (functions.pw_thread_loop_get_loop)(this.thread_loop),
                c"call".as_ptr(),
                properties(functions, config),
                &raw const *this._events,
                handler.cast(),
            );
            if this.stream.is_null() {
                return Err(failed());
            }
            (*handler).stream = this.stream;
        }
        Ok(this)
    }

    fn connect(&self, config: &StreamConfig) -> Result<(), String> {
        let format = raw_audio(config.rate_hz, config.channels);
        let mut parameters = [format.as_ptr().cast::<c_void>()];
        let direction = match config.direction {
            Direction::Input => DIRECTION_INPUT,
            Direction::Output => DIRECTION_OUTPUT,
        };
        // SAFETY: the library copies the parameters; its loop does not run yet.
        let result = unsafe {
            let connected = (self.functions.pw_stream_connect)(
                self.stream,
                direction,
                ANY_ID,
                FLAG_AUTOCONNECT | FLAG_MAP_BUFFERS | FLAG_RT_PROCESS,
                parameters.as_mut_ptr(),
                1,
            );
            if connected < 0 {
                connected
            } else {
                (self.functions.pw_thread_loop_start)(self.thread_loop)
            }
        };
        if result < 0 {
            return Err(io::Error::from_raw_os_error(-result).to_string());
        }
        Ok(())
    }
}

impl Drop for PipeWireStream {
    fn drop(&mut self) {
        // SAFETY: in this order: no callback runs once the loop has stopped, and the data thread
        // has let go of the stream once it is destroyed.
        unsafe {
            if !self.thread_loop.is_null() {
                (self.functions.pw_thread_loop_stop)(self.thread_loop);
                if !self.stream.is_null() {
                    (self.functions.pw_stream_destroy)(self.stream);
                }
                (self.functions.pw_thread_loop_destroy)(self.thread_loop);
            }
            drop(Box::from_raw(self.handler));
        }
    }
}

/// What the session manager and the graph must know of a stream.
unsafe fn properties(functions: &Functions, config: &StreamConfig) -> *mut Opaque {
    // SAFETY: a string that is parsed at once.
    let properties = unsafe { (functions.pw_properties_new_string)(c"".as_ptr()) };
    let set = |key: &CStr, value: &str| {
        // A name with a zero in it does not exist.
        let value = CString::new(value).unwrap_or_default();
        // SAFETY: key and value are copied.
        unsafe { (functions.pw_properties_set)(properties, key.as_ptr(), value.as_ptr()) };
    };
    let capture = config.direction == Direction::Input;
    // The configuration whose data thread runs in real time.
    set(c"config.name", "client-rt.conf");
    set(c"media.type", "Audio");
    set(
        c"media.category",
        if capture { "Capture" } else { "Playback" },
    );
    set(c"media.role", "Communication");
    set(c"application.name", "softphone");
    set(c"node.name", "softphone");
    set(
        c"node.latency",
        &format!("{}/{}", config.period, config.rate_hz),
    );
    match config.target.strip_suffix(".monitor") {
        Some(sink) if capture => {
            set(c"target.object", sink);
            set(c"stream.capture.sink", "true");
        }
        _ => set(c"target.object", &config.target),
    }
    properties
}

/// On the stream's loop, or while it is being connected.
unsafe extern "C" fn on_state_changed(
    data: *mut c_void,
    before: c_int,
    now: c_int,
    error: *const c_char,
) {
    // SAFETY: the handler outlives the stream, and `process` alone has it mutably.
    let (on_fault, started_tx) = unsafe {
        let handler = data.cast::<Handler>();
        (&(*handler).on_fault, &(*handler).started_tx)
    };
    match now {
        STATE_STREAMING => {
            // Nobody listens after the first time.
            let _ = started_tx.send(Ok(()));
        }
        STATE_ERROR => {
            let words = if error.is_null() {
                "PipeWire reported an error".to_owned()
            } else {
                // SAFETY: a string of the library, valid during this call.
                unsafe { CStr::from_ptr(error) }
                    .to_string_lossy()
                    .into_owned()
            };
            on_fault();
            let _ = started_tx.send(Err(words));
        }
        STATE_UNCONNECTED if before > STATE_UNCONNECTED => on_fault(),
        _ => {}
    }
}

/// On the graph's thread, once a period: nothing here allocates, locks or waits.
unsafe extern "C" fn on_process(data: *mut c_void) {
    // SAFETY: the library calls this from one thread at a time; a buffer that it hands out is ours
    // until it is queued again, and its pieces are as large as it says.
    unsafe {
        let handler = data.cast::<Handler>();
        let functions = (*handler).functions;
        let stream = (*handler).stream;
        let buffer = (functions.pw_stream_dequeue_buffer)(stream);
        if buffer.is_null() {
            return;
        }
        let pieces = (*buffer).buffer;
        if (*pieces).n_datas > 0 && !(*(*pieces).datas).data.is_null() {
            let piece = (*pieces).datas;
            let chunk = (*piece).chunk;
            let stride = BYTES * (*handler).channels;
            let fits = (*piece).max_size as usize / stride;
            let latency = latency(functions, stream);
            match (*handler).direction {
                Direction::Output => {
                    let samples = match (*buffer).requested as usize {
                        0 => fits,
                        requested => requested.min(fits),
                    };
                    let (first, count) = ((*piece).data.cast(), samples * (*handler).channels);
                    ((*handler).process)(slice::from_raw_parts_mut(first, count), latency);
                    (*chunk).offset = 0;
                    (*chunk).stride = stride as i32;
                    (*chunk).size = (samples * stride) as u32;
                }
                Direction::Input => {
                    let offset = ((*chunk).offset as usize).min(fits * stride) / stride;
                    let samples = ((*chunk).size as usize / stride).min(fits - offset);
                    let first = (*piece)
                        .data
                        .cast::<f32>()
                        .add(offset * (*handler).channels);
                    let count = samples * (*handler).channels;
                    ((*handler).process)(slice::from_raw_parts_mut(first, count), latency);
                }
            }
        }
        (functions.pw_stream_queue_buffer)(stream, buffer);
    }
}

/// Between here and the device's edge. Never nothing, which would mean that it is not known.
unsafe fn latency(functions: &Functions, stream: *mut Opaque) -> Duration {
    let mut time = PwTime::default();
    // SAFETY: the structure is as large as is said.
    let known =
        unsafe { (functions.pw_stream_get_time_n)(stream, &raw mut time, size_of::<PwTime>()) };
    if known < 0 || time.rate_denom == 0 {
        return Duration::ZERO;
    }
    let ticks = time.delay.max(0) as u64 * u64::from(time.rate_num);
    let nanos = ticks.saturating_mul(1_000_000_000) / u64::from(time.rate_denom);
    Duration::from_nanos(nanos.max(1))
}
