extension DefinitionBuilder {
    mutating func disks() -> [Disk] {
        let found = sections.filter { $0.name.kind == .disk }
        let limit = QEMUCommandLine.diskSlots.count
        if found.count > limit {
            problems.add("this is disk \(limit + 1), but a guest can have at most \(limit)", at: found[limit].place)
        }
        var users: [FileStatus.Identity: Disk] = [:]
        return found.map { section in
            let disk = disk(section)
            checkOnlyUser(disk, section, &users)
            return disk
        }
    }

    private mutating func disk(_ section: Section) -> Disk {
        let format = required(
            "Format",
            section,
            hint:
                " (raw or qcow2), because QEMU could only guess it from data that the guest can write, which is unsafe"
        ) { text throws(ValueProblem) in try Values.word(text, as: DiskFormat.self) }
        let image = requiredFile("Image", section, [.regular, .blockDevice]) ?? ""
        let device = value("Device", section) { text throws(ValueProblem) in try Values.word(text, as: DiskDevice.self)
        }
        let disk = Disk(
            id: section.name.id,
            image: image,
            isBlockDevice: (try? files.status(of: image))?.kind == .blockDevice,
            format: format ?? .raw,
            bus: value("Bus", section, Values.diskBus) ?? .virtioBlk,
            device: device ?? .disk,
            readOnly: value("ReadOnly", section, Values.boolean) ?? (device == .cdrom),
            discard: value("Discard", section, Values.boolean) ?? true,
            cache: value("Cache", section) { text throws(ValueProblem) in try Values.word(text, as: DiskCache.self) }
                ?? .writeback,
            aio: value("AIO", section) { text throws(ValueProblem) in try Values.word(text, as: DiskAIO.self) }
                ?? .threads,
            serial: value("Serial", section, Values.serial)
        )
        checkTogether(disk, section)
        return disk
    }

    /// Two disks may share an image only if neither writes to it.
    private mutating func checkOnlyUser(
        _ disk: Disk,
        _ section: Section,
        _ users: inout [FileStatus.Identity: Disk]
    ) {
        guard
            !disk.image.isEmpty, let place = section.assignments["Image"]?.place,
            let identity = try? files.status(of: disk.image)?.identity
        else { return }
        guard let other = users[identity] else {
            users[identity] = disk
            return
        }
        if disk.readOnly && other.readOnly { return }
        problems.add(
            "\(quoted(disk.image)) is also the image of \(SectionName(kind: .disk, id: other.id).title), and two disks would damage it; "
                + "give each its own, or set ReadOnly=yes for both",
            at: place
        )
    }

    /// What each key allows and all of them together do not.
    private mutating func checkTogether(_ disk: Disk, _ section: Section) {
        func place(_ key: String) -> Place { section.assignments[key]?.place ?? section.place }
        if disk.device == .cdrom && disk.bus != .virtioSCSI {
            problems.add("a CD-ROM drive needs Bus=virtio-scsi: \(disk.bus.rawValue) has none", at: place("Device"))
        }
        if disk.device == .cdrom && !disk.readOnly {
            problems.add("a CD-ROM is read-only; remove ReadOnly=", at: place("ReadOnly"))
        }
        if disk.aio == .native && !disk.cache.isDirect {
            problems.add(
                "AIO=native needs Cache=none or Cache=directsync: it works past the page cache only",
                at: place("AIO")
            )
        }
    }
}
