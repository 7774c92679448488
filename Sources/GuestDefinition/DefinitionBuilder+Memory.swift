extension DefinitionBuilder {
    /// - Parameter ram: What the guest is started with.
    mutating func memoryRoom(_ ram: [RAMBlock]) -> MemoryRoom? {
        let memory = section(.memory)
        let maximum = value("MaximumSize", memory) { text throws(ValueProblem) in
            try Values.size(text, in: DIMM.unit...GuestHardware.largestRAM)
        }
        let slots = value("Slots", memory) { text throws(ValueProblem) in
            try Values.integer(text, in: MemoryRoom.slotCounts)
        }
        guard let maximum, let place = memory?.assignments["MaximumSize"]?.place else {
            warnOfNoEffect(["Slots"], memory, unless: "MaximumSize=")
            return nil
        }
        let total = ram.reduce(0) { $0 + $1.size }
        if !maximum.isMultiple(of: DIMM.unit) {
            problems.add(
                "\(sizeText(maximum)) is not a multiple of 128M, the size of the pieces that DIMMs come in",
                at: place
            )
        } else if maximum <= total {
            problems.add(
                "\(sizeText(maximum)) leaves no room for DIMMs beside the \(sizeText(total)) of [RAM ID]; raise it or remove it",
                at: place
            )
        }
        return MemoryRoom(maximumSize: maximum, slots: slots ?? MemoryRoom.defaultSlots)
    }

    mutating func hugePages(_ section: Section, size: UInt64) -> HugePageSize? {
        let pages = value("HugePages", section) { text throws(ValueProblem) in
            try Values.word(text, as: HugePageSize.self)
        }
        if let pages, !size.isMultiple(of: pages.bytes), let place = section.assignments["Size"]?.place {
            problems.add("\(sizeText(size)) is not a multiple of the huge pages' \(pages.rawValue)", at: place)
        }
        return pages
    }

    /// How many CPUs there are, and how the guest sees them; nil where that is left to the number of NUMA nodes.
    mutating func processors() -> (count: Int, CPUTopology?) {
        let cpu = section(.cpu)
        func number(_ text: String) throws(ValueProblem) -> Int {
            try Values.integer(text, in: GuestHardware.cpuCounts)
        }
        let count = value("Count", cpu, number)
        let keys = ["Sockets", "Cores", "Threads"]
        let given = keys.map { value($0, cpu, number) }
        guard given.contains(where: { $0 != nil }) else { return (count ?? 1, nil) }
        let topology = CPUTopology(sockets: given[0] ?? 1, cores: given[1] ?? 1, threads: given[2] ?? 1)
        let place = (["Count"] + keys).compactMap { cpu?.assignments[$0]?.place }.first
        let words = "\(topology.sockets) × \(topology.cores) × \(topology.threads)"
        if let count, count != topology.count, let place {
            problems.add(
                "\(count) CPUs can't be \(words) (sockets, cores, threads), which is \(topology.count); remove Count= or mend it",
                at: place
            )
        } else if !GuestHardware.cpuCounts.contains(topology.count), let place {
            problems.add("\(words) (sockets, cores, threads) is \(topology.count) CPUs; use at most 255", at: place)
        }
        return (topology.count, topology)
    }

    mutating func cpuFeatures() -> [String]? {
        let features = value("Features", section(.cpu), Values.cpuFeatures) ?? []
        return features.isEmpty ? nil : features
    }
}

extension Values {
    /// `+NAME` or `-NAME`, with commas or white space between them; as QEMU has it, `NAME=on` or `NAME=off`.
    static func cpuFeatures(_ text: String) throws(ValueProblem) -> [String] {
        guard text.utf8.count <= 1024 else {
            throw ValueProblem("this has \(text.utf8.count) bytes, but features may have at most 1024")
        }
        var features: [String] = []
        var names: Set<Substring> = []
        for word in text.split(whereSeparator: { $0 == "," || $0 == " " || $0 == "\t" }) {
            let name = word.dropFirst()
            let isName =
                !name.isEmpty
                && name.utf8.allSatisfy { byte in
                    switch byte {
                    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"),
                        UInt8(ascii: "-"),
                        UInt8(ascii: "."), UInt8(ascii: "_"):
                        true
                    default: false
                    }
                }
            guard let sign = word.first, sign == "+" || sign == "-", isName else {
                throw ValueProblem(
                    "\(quoted(String(word))) is not a CPU feature; write '+NAME' or '-NAME', as in '+avx2'"
                )
            }
            guard names.insert(name).inserted else { throw ValueProblem("\(quoted(String(name))) is here twice") }
            features.append("\(name)=\(sign == "+" ? "on" : "off")")
        }
        return features
    }
}
