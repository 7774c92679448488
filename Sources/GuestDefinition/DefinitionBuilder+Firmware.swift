extension DefinitionBuilder {
    /// Nil for a guest that is content with the BIOS that comes with QEMU.
    mutating func firmware() -> Firmware? {
        guard let section = section(.firmware) else { return nil }
        let kind = value("Type", section) { text throws(ValueProblem) in try Values.word(text, as: FirmwareKind.self) }
        let secureBoot = value("SecureBoot", section, Values.boolean) ?? false
        let image = existingFile("Image", section, [.regular])
        guard kind == .uefi else {
            for key in ["SecureBoot", "Variables", "VariablesTemplate"] {
                guard let assignment = section.assignments[key], !assignment.value.isEmpty else { continue }
                problems.add("\(key)= needs Type=uefi", at: assignment.place)
            }
            return Firmware(kind: .bios, image: image)
        }
        let isImageGiven = section.assignments["Image"]?.value.isEmpty == false
        return Firmware(
            kind: .uefi,
            secureBoot: secureBoot,
            image: isImageGiven
                ? image : ofPackage(Firmware.defaultImage(secureBoot: secureBoot), section, insteadOf: "Image"),
            variables: variables(section, secureBoot)
        )
    }

    private mutating func variables(_ section: Section, _ secureBoot: Bool) -> VariableStore {
        let files = files
        var found: FileStatus?
        let path =
            value("Variables", section) { text throws(ValueProblem) in
                let (path, status) = try DefinitionBuilder.look(text, files)
                if let status, status.kind != .regular { throw ValueProblem("\(quoted(path)) is not a regular file") }
                return path
            } ?? VariableStore.defaultPath(of: name)
        found = try? files.status(of: path)
        let defaultTemplate = VariableStore.defaultTemplate(secureBoot: secureBoot)
        let template: String
        if section.assignments["VariablesTemplate"]?.value.isEmpty == false {
            template = existingFile("VariablesTemplate", section, [.regular]) ?? ""
        } else if found == nil {
            template = ofPackage(defaultTemplate, section, insteadOf: "VariablesTemplate")
        } else {
            template = defaultTemplate
        }
        return VariableStore(path: path, template: template)
    }

    /// A file that a package of Debian brings along.
    private mutating func ofPackage(_ path: String, _ section: Section, insteadOf key: String) -> String {
        if (try? files.status(of: path)) == nil && !copied.contains(path) {
            let place = section.assignments["Type"]?.place ?? section.place
            problems.add("\(quoted(path)) does not exist; install the package 'ovmf', or set \(key)=", at: place)
        }
        return path
    }

    /// The variables are written to, as a disk is.
    mutating func checkVariables(_ firmware: Firmware?, beside disks: [Disk]) {
        guard let path = firmware?.variables?.path, let section = section(.firmware),
            let identity = try? files.status(of: path)?.identity
        else { return }
        guard let disk = disks.first(where: { (try? files.status(of: $0.image))?.identity == identity }) else { return }
        problems.add(
            "\(quoted(path)) is also the image of \(SectionName(kind: .disk, id: disk.id).title); give each its own",
            at: section.assignments["Variables"]?.place ?? section.place
        )
    }
}
