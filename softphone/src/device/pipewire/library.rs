//! The few functions and structures of libpipewire that a stream needs. The library is loaded when
//! it is first asked for, so that nothing is linked to it and a machine without it does not miss it.
//!
//! Layouts and values are those of PipeWire 0.3.50 (March 2022) and every later version: its C
//! interface only ever grows.

#![allow(unsafe_code)] // a C interface

use std::ffi::{c_char, c_int, c_void};
use std::sync::OnceLock;

use libloading::Library;

/// The name under which every distribution installs it.
const NAME: &str = "libpipewire-0.3.so.0";

/// Something that only the library looks into.
#[repr(C)]
pub(super) struct Opaque([u8; 0]);

/// `struct pw_stream_events`, version 0: the fields after `process` are of later versions.
#[repr(C)]
pub(super) struct StreamEvents {
    pub(super) version: u32,
    pub(super) destroy: Option<unsafe extern "C" fn(*mut c_void)>,
    pub(super) state_changed:
        Option<unsafe extern "C" fn(*mut c_void, c_int, c_int, *const c_char)>,
    pub(super) control_info: Option<unsafe extern "C" fn(*mut c_void, u32, *const c_void)>,
    pub(super) io_changed: Option<unsafe extern "C" fn(*mut c_void, u32, *mut c_void, u32)>,
    pub(super) param_changed: Option<unsafe extern "C" fn(*mut c_void, u32, *const c_void)>,
    pub(super) add_buffer: Option<unsafe extern "C" fn(*mut c_void, *mut PwBuffer)>,
    pub(super) remove_buffer: Option<unsafe extern "C" fn(*mut c_void, *mut PwBuffer)>,
    pub(super) process: Option<unsafe extern "C" fn(*mut c_void)>,
    pub(super) drained: Option<unsafe extern "C" fn(*mut c_void)>,
}

/// `struct pw_buffer`.
#[repr(C)]
pub(super) struct PwBuffer {
    pub(super) buffer: *mut SpaBuffer,
    pub(super) user_data: *mut c_void,
    pub(super) size: u64,
    /// Samples per channel to write (playback); 0: as many as fit.
    pub(super) requested: u64,
}

/// `struct spa_buffer`.
#[repr(C)]
pub(super) struct SpaBuffer {
    pub(super) n_metas: u32,
    pub(super) n_datas: u32,
    pub(super) metas: *mut c_void,
    pub(super) datas: *mut SpaData,
}

/// `struct spa_data`.
#[repr(C)]
pub(super) struct SpaData {
    pub(super) kind: u32,
    pub(super) flags: u32,
    pub(super) fd: i64,
    pub(super) map_offset: u32,
    pub(super) max_size: u32,
    pub(super) data: *mut c_void,
    pub(super) chunk: *mut SpaChunk,
}

/// `struct spa_chunk`.
#[repr(C)]
pub(super) struct SpaChunk {
    pub(super) offset: u32,
    pub(super) size: u32,
    pub(super) stride: i32,
    pub(super) flags: i32,
}

/// `struct pw_time`.
#[repr(C)]
#[derive(Debug, Default)]
pub(super) struct PwTime {
    pub(super) now: i64,
    pub(super) rate_num: u32,
    pub(super) rate_denom: u32,
    pub(super) ticks: u64,
    pub(super) delay: i64,
    pub(super) queued: u64,
    pub(super) buffered: u64,
    pub(super) queued_buffers: u32,
    pub(super) avail_buffers: u32,
}

/// `enum pw_stream_state`.
pub(super) const STATE_ERROR: c_int = -1;
pub(super) const STATE_UNCONNECTED: c_int = 0;
pub(super) const STATE_STREAMING: c_int = 3;

/// `enum pw_direction`.
pub(super) const DIRECTION_INPUT: c_int = 0;
pub(super) const DIRECTION_OUTPUT: c_int = 1;

/// `enum pw_stream_flags`.
pub(super) const FLAG_AUTOCONNECT: c_int = 1 << 0;
pub(super) const FLAG_MAP_BUFFERS: c_int = 1 << 2;
pub(super) const FLAG_RT_PROCESS: c_int = 1 << 4;

/// `PW_ID_ANY`.
pub(super) const ANY_ID: u32 = u32::MAX;

macro_rules! functions {
    ($($name:ident: fn($($argument:ty),*) $(-> $result:ty)?;)*) => {
        /// The functions, by their names in C.
        pub(super) struct Functions {
            $(pub(super) $name: unsafe extern "C" fn($($argument),*) $(-> $result)?,)*
            _library: Library,
        }

        impl Functions {
            fn load() -> Result<Self, libloading::Error> {
                // SAFETY: the system's libpipewire runs nothing but harmless constructors, and the
                // signatures are those of its headers.
                unsafe {
                    let library = Library::new(NAME)?;
                    Ok(Self {
                        $($name: *library.get(concat!(stringify!($name), "\0").as_bytes())?,)*
                        _library: library,
                    })
                }
            }
        }
    };
}

functions! {
    pw_init: fn(*mut c_int, *mut *mut *mut c_char);
    pw_log_set_level: fn(c_int);
    pw_thread_loop_new: fn(*const c_char, *const c_void) -> *mut Opaque;
    pw_thread_loop_get_loop: fn(*mut Opaque) -> *mut Opaque;
    pw_thread_loop_start: fn(*mut Opaque) -> c_int;
    pw_thread_loop_stop: fn(*mut Opaque);
    pw_thread_loop_destroy: fn(*mut Opaque);
    pw_properties_new_string: fn(*const c_char) -> *mut Opaque;
    pw_properties_set: fn(*mut Opaque, *const c_char, *const c_char) -> c_int;
    pw_stream_new_simple: fn(*mut Opaque, *const c_char, *mut Opaque, *const StreamEvents, *mut c_void) -> *mut Opaque;
    pw_stream_connect: fn(*mut Opaque, c_int, u32, c_int, *mut *const c_void, u32) -> c_int;
    pw_stream_destroy: fn(*mut Opaque);
    pw_stream_dequeue_buffer: fn(*mut Opaque) -> *mut PwBuffer;
    pw_stream_queue_buffer: fn(*mut Opaque, *mut PwBuffer) -> c_int;
    pw_stream_get_time_n: fn(*mut Opaque, *mut PwTime, usize) -> c_int;
}

/// The library, ready to be used; `None` where it is not installed. It stays loaded.
pub(super) fn functions() -> Option<&'static Functions> {
    static LOADED: OnceLock<Option<Functions>> = OnceLock::new();
    LOADED
        .get_or_init(|| {
            let functions = Functions::load().ok()?;
            // SAFETY: null is "no command line"; 0 is the level that logs nothing. Without it the
            // library writes to stderr, over any screen.
            unsafe {
                (functions.pw_init)(std::ptr::null_mut(), std::ptr::null_mut());
                if std::env::var_os("PIPEWIRE_DEBUG").is_none() {
                    (functions.pw_log_set_level)(0);
                }
            }
            Some(functions)
        })
        .as_ref()
}
