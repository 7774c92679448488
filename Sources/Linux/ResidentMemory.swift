import CLinux

public enum ResidentMemory {
    /// Gives back memory that is free in the heap, and forgets program text that has not been used since: what is used
    /// again comes back from the page cache.
    public static func trim() { clinux_trim_memory() }
}
