//! Allocations of the hot loop, by an allocator that counts.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use tower::BoxError;

use crate::hot;

static CALLS: AtomicU64 = AtomicU64::new(0);
static BYTES: AtomicU64 = AtomicU64::new(0);

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn count(size: usize) {
    CALLS.fetch_add(1, Relaxed);
    BYTES.fetch_add(size as u64, Relaxed);
}

// SAFETY: everything is handed to the system's allocator as it came; counting touches no memory of
// the caller and does not allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: our caller keeps the promises that `System` asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size);
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// How often, and how much.
pub struct Allocations {
    pub calls: u64,
    pub bytes: u64,
}

impl Allocations {
    pub fn so_far() -> Self {
        Self { calls: CALLS.load(Relaxed), bytes: BYTES.load(Relaxed) }
    }

    pub fn until_now(&self) -> Self {
        let now = Self::so_far();
        Self { calls: now.calls - self.calls, bytes: now.bytes - self.bytes }
    }
}

/// Prints calls and bytes per request; they are the same in every run.
pub fn print(cases: &[&str]) -> Result<(), BoxError> {
    const ITERATIONS: u32 = 1000;
    for case in cases {
        for headers in [0, 8] {
            let Allocations { calls, bytes } = hot::run(case, headers, ITERATIONS as usize)?;
            let per_request = |n: u64| n as f64 / f64::from(ITERATIONS);
            println!("allocations.{case}.headers{headers}.calls {}", per_request(calls));
            println!("allocations.{case}.headers{headers}.bytes {}", per_request(bytes));
        }
    }
    Ok(())
}
